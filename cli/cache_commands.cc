#include "cli/cache_commands.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "bench/cache_bench.h"
#include "bench/context.h"
#include "cli/output.h"
#include "cli/table.h"

namespace annulus::cli {
namespace {

std::string per_second(const Json& value) { return with_commas(static_cast<std::uint64_t>(value.get<double>())); }

void print_memory(const Json& rows) {
  Table table({{"in memory"},
               {"engine"},
               {"threads", Align::kRight},
               {"per second", Align::kRight},
               {"least", Align::kRight},
               {"greatest", Align::kRight},
               {"compared"}});
  for (const Json& row : rows) {
    if (!row.contains("engine")) continue;
    std::string compared;
    if (row.contains("ratio_to_baseline")) compared = fmt::format("{:.2f}x the baseline", row["ratio_to_baseline"].get<double>());
    if (row.contains("hit_rate")) {
      compared += fmt::format("{}{} hits", compared.empty() ? "" : ", ", percent(row["hit_rate"].get<double>()));
    }
    table.add_row({row["method"].get<std::string>(), row["engine"].get<std::string>(),
                   with_commas(row["threads"].get<std::uint64_t>()), per_second(row["per_second"]),
                   per_second(row["per_second_range"][0]), per_second(row["per_second_range"][1]), compared});
  }
  print(table.to_string());
}

void print_routing(const Json& rows) {
  Table table({{"routed"}, {"time", Align::kRight}, {"bare node", Align::kRight}, {"overhead", Align::kRight}});
  for (const Json& row : rows) {
    if (!row.contains("ns_overhead")) continue;
    table.add_row({row["method"].get<std::string>(), fmt::format("{:.0f} ns", row["ns_per_call"].get<double>()),
                   fmt::format("{:.0f} ns", row["ns_bare_node"].get<double>()),
                   fmt::format("{:.0f} ns", row["ns_overhead"].get<double>())});
  }
  print("\n" + table.to_string());
}

void print_redis(const Json& rows) {
  Table table({{"redis"}, {"per second", Align::kRight}, {"least", Align::kRight}, {"greatest", Align::kRight}, {"compared"}});
  bool measured = false;
  for (const Json& row : rows) {
    if (row.contains("note")) print(fmt::format("\n  redis: {}\n", row["note"].get<std::string>()));
    if (row.contains("engine") || !row.contains("per_second")) continue;
    measured = true;
    std::string compared;
    if (row.contains("ratio_to_one_by_one")) compared = fmt::format("{:.1f}x one by one", row["ratio_to_one_by_one"].get<double>());
    table.add_row({row["method"].get<std::string>(), per_second(row["per_second"]), per_second(row["per_second_range"][0]),
                   per_second(row["per_second_range"][1]), compared});
  }
  if (measured) print("\n" + table.to_string());
}

void print_bench(const bench::CacheBenchOptions& options, bool json) {
  const Json rows = bench::cache_bench(options);
  const Json context = bench::bench_context();
  if (json) {
    print_json({{"context", context}, {"rows", rows}});
    return;
  }
  print_memory(rows);
  print_routing(rows);
  print_redis(rows);
  print(fmt::format("\n  {} items of {} bytes, keys drawn evenly; {}, {}\n", with_commas(options.items), options.value_bytes,
                    context["cpu"].get<std::string>(), context["compiler"].get<std::string>()));
}

}  // namespace

void add_bench_cache(CLI::App& bench) {
  CLI::App& cache = *bench.add_subcommand("cache", "Gets and puts of a cache node, beside a plain LRU; what routing costs");
  const auto options = std::make_shared<bench::CacheBenchOptions>();
  const auto json = std::make_shared<bool>(false);
  cache.add_option("--items", options->items, "Entries that are there")
      ->check(CLI::Range(std::size_t{1000}, std::size_t{100'000'000}))
      ->capture_default_str();
  cache.add_option("--value-bytes", options->value_bytes, "Bytes of each value")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->capture_default_str();
  cache.add_option("--threads", options->threads, "Numbers of threads, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::Range(std::size_t{1}, std::size_t{256}))
      ->capture_default_str();
  cache.add_option("--operations", options->operations, "Operations of each thread in a repetition")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000'000}))
      ->capture_default_str();
  cache.add_option("--nodes", options->nodes, "Nodes of the routed cache")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000}))
      ->capture_default_str();
  cache.add_option("--repetitions", options->repetitions, "Times that each method is measured")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000}))
      ->capture_default_str();
  cache.add_flag("!--no-redis", options->redis, "Leave out what is measured against a redis-server");
  cache.add_flag("--json", *json, "Print one JSON document");
  cache.callback([options, json] { print_bench(*options, *json); });
}

}  // namespace annulus::cli
