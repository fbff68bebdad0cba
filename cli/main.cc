// The `annulus` program. Exit codes: 0 done, 1 failed at run time, 2 wrong usage.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/artifact_commands.h"
#include "cli/cache_commands.h"
#include "cli/index_bench_command.h"
#include "cli/demo_command.h"
#include "cli/ring_commands.h"
#include "index/distance.h"

namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Says what is wrong with the usage, and where to look: at the help of the command as far as it was understood.
void explain(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = app.get_name();
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().back();
    command += " " + at->get_name();
  }
  std::string what = one_line(error.what());
  const auto known = at->get_subcommands([](const CLI::App*) { return true; });
  if (!known.empty()) {
    // CLI11 would say that a subcommand is missing, and not which word is none.
    const std::vector<std::string> unknown = app.remaining(true);
    what = unknown.empty() ? "which command?" : "there is no command '" + unknown.front() + "'";
    for (const CLI::App* command_known : known)
      what += (command_known == known.front() ? " (known: " : ", ") + command_known->get_name();
    what += ")";
  }
  std::cerr << "annulus: " << what << "; see " << command << " --help\n";
}

int run(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    explain(app, error);
    return kWrongUsage;
  }
  // A full disk behind a redirection shows only now.
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "annulus: cannot write to standard output; is its disk full?\n";
    return kFailed;
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sharding for vector databases: a consistent-hash ring, shards, and what moves when a cluster changes", "annulus");
  app.set_version_flag("--version", "annulus " ANNULUS_VERSION);
  app.require_subcommand(1);
  annulus::cli::add_demo_command(app);
  annulus::cli::add_ring_commands(app);
  annulus::cli::add_artifact_commands(app);
  CLI::App& bench = *app.add_subcommand("bench", "Measure");
  bench.require_subcommand(1);
  annulus::cli::add_bench_ring(bench);
  annulus::cli::add_bench_artifact(bench);
  annulus::cli::add_bench_cache(bench);
  annulus::cli::add_bench_index(bench);

  try {
    annulus::check_simd_limit();
    return run(app, argc, argv);
  } catch (const std::bad_alloc&) {
    std::cerr << "annulus: out of memory; give it less to hold, or a larger machine\n";
  } catch (const std::exception& error) {
    std::cerr << "annulus: " << one_line(error.what()) << '\n';
  }
  return kFailed;
}
