#include "cli/index_bench_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>

#include "bench/index_bench.h"
#include "cli/output.h"
#include "cli/table.h"
#include "index/distance.h"

namespace annulus::cli {
namespace {

struct Flags {
  bench::IndexBenchOptions options;
  std::string base, queries, cache, synthetic;
  std::string metric = "cosine";
  bool quick = false;
  bool json = false;
};

/// What a row measures of one engine, for people.
std::string figure_text(const Json& of) {
  if (of.contains("qps")) return fmt::format("{:.0f} queries/s", of["qps"].get<double>());
  if (of.contains("build_s")) return fmt::format("{:.1f} s", of["build_s"].get<double>());
  if (of.contains("p99_us")) return fmt::format("p99 {:.0f} us", of["p99_us"].get<double>());
  if (of.contains("upserts_per_second")) return fmt::format("{:.0f} upserts/s", of["upserts_per_second"].get<double>());
  if (of.contains("rows_per_second")) return fmt::format("{:.2f}M rows/s", of["rows_per_second"].get<double>() * 1e-6);
  if (of.contains("overhead_bytes_per_record"))
    return fmt::format("{:.1f} B/record", of["overhead_bytes_per_record"].get<double>());
  if (of.contains("distances_per_query")) return fmt::format("{:.0f} distances", of["distances_per_query"].get<double>());
  return "";
}

std::string params_text(const Json& of) {
  std::string text;
  if (of.contains("params")) {
    for (const auto& [name, value] : of["params"].items()) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value.get<int>());
    }
  }
  if (of.contains("selectivity")) text += fmt::format(", {} % accepted", 100 * of["selectivity"].get<double>());
  if (of.contains("by")) text += " by " + of["by"].get<std::string>();
  if (of.contains("batch")) text += fmt::format("{}x{}", text.empty() ? "" : ", ", of["batch"].get<std::size_t>());
  return text;
}

std::string ratio_text(const Json& row) {
  for (const char* name : {"ratio", "time_ratio", "distances_ratio", "counted_over_growth"}) {
    if (row.contains(name)) return fmt::format("{:.2f}", row[name].get<double>());
  }
  return "";
}

std::string target_text(const Json& row) {
  if (row.contains("target")) return fmt::format(">= {}", row["target"].get<double>());
  if (row.contains("counted_over_growth")) return fmt::format("<= {}; .95-1.05", row["target_at_most"].get<double>());
  if (!row.contains("target_at_most") && !row.contains("target_rows_per_second")) return "";
  if (row.contains("target_rows_per_second")) return fmt::format(">= {:.0f}M", row["target_rows_per_second"].get<double>() * 1e-6);
  return fmt::format("<= {}", row["target_at_most"].get<double>());
}

/// "20000x64"
void parse_size(const std::string& text, std::size_t& rows, std::size_t& dimension) {
  const char* end = text.data() + text.size();
  const auto [cross, error] = std::from_chars(text.data(), end, rows);
  if (error == std::errc() && cross != end && *cross == 'x' && rows != 0) {
    const auto [behind, second_error] = std::from_chars(cross + 1, end, dimension);
    if (second_error == std::errc() && behind == end && dimension != 0) return;
  }
  throw CLI::ValidationError("--synthetic", "expected ROWSxDIMENSION, as in 1000000x128, not \"" + text + "\"");
}

void run(const std::shared_ptr<Flags>& flags) {
  bench::IndexBenchOptions& options = flags->options;
  options.base = flags->base;
  options.queries = flags->queries;
  options.cache = flags->cache;
  options.metric = parse_metric(flags->metric);
  if (flags->quick) {
    options.query_count = std::min<std::size_t>(options.query_count, 100);
    options.build_rows = std::min<std::size_t>(options.build_rows, 5000);
    options.repetitions = 1;
    options.seconds = 0.1;
  }
  if (!flags->synthetic.empty()) parse_size(flags->synthetic, options.synthetic_rows, options.synthetic_dimension);
  const bool on_terminal = ::isatty(STDERR_FILENO) != 0;
  options.progress = [on_terminal](const std::string& what) {
    if (on_terminal) std::fprintf(stderr, "\r\033[Kbench index: %s", what.c_str());
  };
  const bench::IndexBenchResult result = bench::index_bench(options);
  if (on_terminal) std::fprintf(stderr, "\r\033[K");
  Json context = bench::bench_context();
  context["data_set"] = result.data;
  context["simd"] = simd_target();
  if (flags->json) {
    print_json({{"context", context}, {"rows", result.rows}});
    return;
  }
  Table table({{"figure"},
               {"ours"},
               {"setting"},
               {"recall", Align::kRight},
               {"measured", Align::kRight},
               {"baseline", Align::kRight},
               {"recall", Align::kRight},
               {"ratio", Align::kRight},
               {"target", Align::kRight},
               {"met"}});
  const auto recall = [](const Json& of) {
    return of.contains("recall_at_10") ? fmt::format("{:.4f}", of["recall_at_10"].get<double>()) : std::string();
  };
  for (const Json& row : result.rows) {
    const Json baseline = row.value("baseline", Json::object());
    table.add_row({row["figure"].get<std::string>(), row["engine"].get<std::string>(), params_text(row), recall(row),
                   figure_text(row), figure_text(baseline), recall(baseline), ratio_text(row), target_text(row),
                   !row.contains("met") ? "" : row["met"].get<bool>() ? "yes" : "no"});
  }
  print(table.to_string());
  print(fmt::format("\n  {}, {} x {}, {} queries; {}, {}, FAISS {}\n", result.data["name"].get<std::string>(),
                    result.data["rows"].get<std::size_t>(), result.data["dimension"].get<std::size_t>(),
                    result.data["queries"].get<std::size_t>(), context["cpu"].get<std::string>(),
                    context["simd"].get<std::string>(), context["faiss_version"].get<std::string>()));
}

}  // namespace

void add_bench_index(CLI::App& bench) {
  CLI::App& index = *bench.add_subcommand("index", "Searches, builds and changes of the index engine, beside FAISS's");
  const auto flags = std::make_shared<Flags>();
  CLI::Option* base = index.add_option("--base", flags->base, "Rows, as fvecs; without it, synthetic ones");
  CLI::Option* queries = index.add_option("--queries", flags->queries, "Queries, as fvecs");
  base->needs(queries);
  queries->needs(base);
  index.add_option("--metric", flags->metric, "Of the files: l2, ip or cosine")
      ->check(CLI::IsMember({"l2", "ip", "cosine"}))
      ->needs(base)
      ->capture_default_str();
  index
      .add_option("--synthetic", flags->synthetic,
                  fmt::format("ROWSxDIMENSION clustered points, as in 1000000x128, by L2; without files {}x{}",
                              flags->options.synthetic_rows, flags->options.synthetic_dimension))
      ->excludes(base);
  index.add_option("--rows", flags->options.rows, "At most so many rows of the file; 0: all")->needs(base)->capture_default_str();
  index.add_option("--query-count", flags->options.query_count, "At most so many queries")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  index.add_option("--lists", flags->options.lists, "Lists of the IVF")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  index.add_option("--build-rows", flags->options.build_rows, "Rows of the builds that are compared")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  index.add_option("--repetitions", flags->options.repetitions, "Rounds in which ours and the baseline take turns")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  index.add_option("--cache", flags->cache, "Folder where FAISS's indexes and the exact answers are kept from run to run");
  index.add_option("--only", flags->options.only, "Figures to measure; without it, all")
      ->delimiter(',')
      ->check(CLI::IsMember(bench::index_bench_figures()));
  index.add_flag("--quick", flags->quick, "One short round of everything: to see that it runs, not to measure");
  index.add_flag("--json", flags->json, "Print one JSON document");
  index.callback([flags] { run(flags); });
}

}  // namespace annulus::cli
