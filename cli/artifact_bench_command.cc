#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "bench/artifact_bench.h"
#include "cli/artifact_commands.h"
#include "cli/output.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

void print_bench(const bench::ArtifactBenchOptions& options, bool json) {
  const Json rows = bench::artifact_bench(options);
  const Json context = bench::bench_context();
  if (json) {
    print_json({{"context", context}, {"rows", rows}});
    return;
  }
  Table table({{"method"},
               {"time", Align::kRight},
               {"least", Align::kRight},
               {"greatest", Align::kRight},
               {"MiB/s", Align::kRight},
               {"compared"},
               {"peak memory", Align::kRight}});
  for (const Json& row : rows) {
    const auto time = [](const Json& seconds) { return duration_text(seconds.get<double>()); };
    std::string compared;
    if (row.contains("baseline"))
      compared = fmt::format("{:.2f}x {}", row["ratio_to_baseline"].get<double>(), row["baseline"].get<std::string>());
    table.add_row({row["method"].get<std::string>(), time(row["seconds"]), time(row["seconds_range"][0]),
                   time(row["seconds_range"][1]), fmt::format("{:.0f}", row["mib_per_second"].get<double>()), compared,
                   row.contains("peak_bytes") ? bytes_text(row["peak_bytes"].get<double>()) : ""});
  }
  print(table.to_string());
  print(fmt::format("\n  {} MiB, {} replicas; {}, {}\n", options.mib, options.replicas, context["cpu"].get<std::string>(),
                    context["compiler"].get<std::string>()));
}

}  // namespace

void add_bench_artifact(CLI::App& bench) {
  CLI::App& artifact = *bench.add_subcommand("artifact", "Puts and gets of a blob, beside cp and sha256sum");
  const auto options = std::make_shared<bench::ArtifactBenchOptions>();
  const auto folder = std::make_shared<std::string>();
  const auto json = std::make_shared<bool>(false);
  artifact.add_option("--mib", options->mib, "Size of the blob")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  artifact.add_option("--replicas", options->replicas, "Replicas, each on a host of its own")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  artifact.add_option("--repetitions", options->repetitions, "Times that each method is measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  artifact.add_option("--folder", *folder,
                      "Where the files are made and removed again; without it the system's folder for temporary files");
  artifact.add_flag("--json", *json, "Print one JSON document");
  artifact.callback([options, folder, json] {
    options->folder = *folder;
    print_bench(*options, *json);
  });
}

}  // namespace annulus::cli
