#include "cli/artifact_commands.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/artifact_distributor.h"
#include "cli/artifact_cluster.h"
#include "cli/artifact_resize.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "core/error.h"
#include "core/key.h"
#include "core/posix_file.h"

namespace annulus::cli {
namespace {

/// What the commands share.
struct ArtifactFlags {
  std::string root;
  std::string name;
  std::string file;
  std::vector<std::string> names;
  std::vector<std::string> hosts;
  std::size_t replicas = 2;
  bool json = false;
};

constexpr const char* kStandardStream = "-";

std::string version_text(Version version) { return fmt::format("{:016x}-{:08x}", version.clock, version.writer); }

/// When the version was given: its clock counts microseconds, times 4096.
std::string time_text(Version version) {
  const std::chrono::sys_time<std::chrono::seconds> time(std::chrono::seconds((version.clock >> 12) / 1'000'000));
  return fmt::format("{:%Y-%m-%d %H:%M:%S}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string counted(std::uint64_t n, const std::string& noun) {
  return fmt::format("{} {}{}", with_commas(n), noun, n == 1 ? "" : "s");
}

std::string joined(const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += (text.empty() ? "" : ", ") + display_key(id);
  return text;
}

Json json_of(const std::vector<std::string>& ids) {
  Json list = Json::array();
  for (const std::string& id : ids) list.push_back(display_key(id));
  return list;
}

Json json_of(const std::vector<ArtifactHostError>& errors) {
  Json list = Json::array();
  for (const ArtifactHostError& error : errors) list.push_back({{"host", display_key(error.host)}, {"message", error.message}});
  return list;
}

Json json_of(const ArtifactInfo& info) {
  return {{"name", display_key(info.name)},
          {"bytes", info.bytes},
          {"sha256", to_hex(info.sha256)},
          {"version", version_text(info.version)},
          {"stored", time_text(info.version)}};
}

/// One line on stderr for each: what went wrong without failing the command.
void warn(const std::vector<ArtifactHostError>& errors, const std::string& root) {
  for (const ArtifactHostError& error : errors) {
    std::cerr << fmt::format("annulus: warning: {}{}; see annulus artifact verify {}\n",
                             error.host.empty() ? "" : "host '" + display_key(error.host) + "': ", error.message, root);
  }
}

ArtifactProgress shown_by(std::optional<ProgressBar>& bar, const std::string& label) {
  return [&bar, label](std::uint64_t done, std::uint64_t total) {
    if (!bar) bar.emplace(label, total, "bytes");
    bar->update(done, total);
  };
}

void init(const ArtifactFlags& flags) {
  ArtifactCluster cluster{{.replicas = flags.replicas, .hosts = {}}, std::nullopt, std::nullopt};
  for (const std::string& text : flags.hosts) cluster.hosts.push_back(parse_artifact_host(text));
  create_artifact_cluster(flags.root, cluster);
  if (flags.json) {
    Json hosts = Json::array();
    for (const auto& host : cluster.hosts) {
      hosts.push_back({{"id", display_key(host.node.id)},
                       {"weight", host.node.weight},
                       {"zone", display_key(host.node.zone)},
                       {"folder", host.folder.string()}});
    }
    print_json({{"root", flags.root}, {"replicas", cluster.replicas}, {"hosts", hosts}});
    return;
  }
  Table table({{"host"}, {"weight", Align::kRight}, {"zone"}, {"folder"}});
  for (const auto& host : cluster.hosts)
    table.add_row(
        {display_key(host.node.id), fmt::format("{}", host.node.weight), display_key(host.node.zone), host.folder.string()});
  print(fmt::format("{}: a store of artifacts, {} on {}\n\n{}", flags.root,
                    cluster.replicas == 1 ? "each" : fmt::format("{} replicas of each", cluster.replicas),
                    counted(cluster.hosts.size(), "host"), table.to_string()));
  if (cluster.hosts.size() < cluster.replicas) {
    print(fmt::format("\nnote: each gets {} until there are more hosts\n", counted(cluster.hosts.size(), "replica")));
  }
}

void put(const ArtifactFlags& flags) {
  const auto store = open_artifact_cluster(flags.root);
  std::optional<ProgressBar> bar;
  ArtifactPutReport report;
  if (flags.file == kStandardStream) {
    report = store->put(flags.name, [](std::span<std::byte> buffer) {
      std::size_t got = 0;
      while (got < buffer.size()) {
        const ssize_t n = ::read(STDIN_FILENO, buffer.data() + got, buffer.size() - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw_system_error("cannot read", "standard input", errno);
        if (n == 0) break;
        got += static_cast<std::size_t>(n);
      }
      return got;
    });
  } else {
    report = store->put_file(flags.name, flags.file, shown_by(bar, "put"));
  }
  bar.reset();
  warn(report.missed, flags.root);
  if (flags.json) {
    Json json = json_of(report.info);
    json["replicas"] = json_of(report.replicas);
    json["missed"] = json_of(report.missed);
    print_json(json);
    return;
  }
  print(fmt::format("{}: {} on {}\nsha256 {}\n", display_key(flags.name), bytes_text(static_cast<double>(report.info.bytes)),
                    joined(report.replicas), to_hex(report.info.sha256)));
}

void get(ArtifactFlags flags) {
  if (flags.file.empty()) flags.file = std::filesystem::path(flags.name).filename().string();
  if (flags.file == kStandardStream && flags.json)
    throw CLI::ValidationError("--json and '-' would both print on standard output; give a file");
  const auto store = open_artifact_cluster(flags.root);
  std::optional<ProgressBar> bar;
  ArtifactGetReport report;
  if (flags.file == kStandardStream) {
    report = store->get(flags.name, [](std::span<const std::byte> bytes) { write_fully(STDOUT_FILENO, bytes, "standard output"); });
  } else {
    report = store->get_file(flags.name, flags.file, shown_by(bar, "get"));
  }
  bar.reset();
  warn(report.problems, flags.root);
  if (flags.json) {
    Json json = json_of(report.info);
    json["file"] = flags.file;
    json["host"] = display_key(report.host);
    json["healed"] = json_of(report.healed);
    json["problems"] = json_of(report.problems);
    print_json(json);
  } else if (flags.file != kStandardStream) {
    print(fmt::format("{}: {} from {}{}\nsha256 {}\n", flags.file, bytes_text(static_cast<double>(report.info.bytes)),
                      display_key(report.host), report.healed.empty() ? "" : ", healed on " + joined(report.healed),
                      to_hex(report.info.sha256)));
  }
}

void list(const ArtifactFlags& flags) {
  const auto store = open_artifact_cluster(flags.root);
  std::vector<ArtifactHostError> problems;
  const std::vector<ArtifactInfo> infos = store->list(flags.name, &problems);
  if (problems.size() >= store->placement().serving->table->num_replicas() && !problems.empty()) {
    problems.push_back({"", "so many hosts are out of reach that the list may lack artifacts"});
  }
  warn(problems, flags.root);
  if (flags.json) {
    Json artifacts = Json::array();
    for (const ArtifactInfo& info : infos) {
      Json json = json_of(info);
      json["damaged"] = info.kind == ArtifactKind::kDamaged;
      json["hosts"] = json_of(store->placement(info.name));
      artifacts.push_back(std::move(json));
    }
    print_json({{"artifacts", artifacts}, {"problems", json_of(problems)}});
    return;
  }
  Table table({{"name"}, {"size", Align::kRight}, {"stored"}, {"sha256"}, {"hosts"}});
  for (const ArtifactInfo& info : infos) {
    const bool damaged = info.kind == ArtifactKind::kDamaged;
    table.add_row({display_key(info.name), damaged ? "damaged" : bytes_text(static_cast<double>(info.bytes)),
                   time_text(info.version), damaged ? "" : to_hex(info.sha256).substr(0, 16), joined(store->placement(info.name))});
  }
  print(infos.empty() ? "no artifacts\n" : table.to_string());
}

void remove(const ArtifactFlags& flags) {
  const auto store = open_artifact_cluster(flags.root);
  Json erased = Json::array();
  std::string unknown;
  for (const std::string& name : flags.names) {
    const ArtifactPutReport report = store->erase(name);
    warn(report.missed, flags.root);
    if (report.replicas.empty()) {
      unknown += (unknown.empty() ? "'" : ", '") + display_key(name) + "'";
      continue;
    }
    if (!flags.json) print(display_key(name) + ": erased\n");
    erased.push_back({{"name", display_key(name)}, {"replicas", json_of(report.replicas)}, {"missed", json_of(report.missed)}});
  }
  if (flags.json) print_json({{"erased", erased}});
  if (!unknown.empty())
    throw Error(ErrorCode::kNotFound, "there is no artifact " + unknown + "; see annulus artifact ls " + flags.root);
}

Json json_of(const ArtifactCheckReport& report) {
  Json findings = Json::array();
  for (const ArtifactFinding& finding : report.findings) {
    findings.push_back({{"name", display_key(finding.name)}, {"host", display_key(finding.host)}, {"what", finding.what}});
  }
  return {{"artifacts", report.artifacts},   {"replicas", report.replicas}, {"bytes", report.bytes},
          {"damaged", report.damaged},       {"missing", report.missing},   {"strangers", report.strangers},
          {"superseded", report.superseded}, {"lost", report.lost},         {"healed", report.healed},
          {"removed", report.removed},       {"findings", findings},        {"problems", json_of(report.problems)}};
}

void print_check(const ArtifactCheckReport& report, const ArtifactFlags& flags) {
  if (flags.json) return print_json(json_of(report));
  if (!report.findings.empty()) {
    Table table({{"name"}, {"host"}, {"what"}});
    for (const ArtifactFinding& finding : report.findings)
      table.add_row({display_key(finding.name), display_key(finding.host), finding.what});
    print(table.to_string() + "\n");
  }
  for (const ArtifactHostError& problem : report.problems) {
    print(fmt::format("  {}{}\n", problem.host.empty() ? "" : "host " + display_key(problem.host) + ": ", problem.message));
  }
  print(fmt::format("{}, {}, {} read\n", counted(report.artifacts, "artifact"), counted(report.replicas, "whole replica"),
                    bytes_text(static_cast<double>(report.bytes))));
}

void verify(const ArtifactFlags& flags) {
  const auto store = open_artifact_cluster(flags.root);
  std::optional<ProgressBar> bar;
  const ArtifactCheckReport report = store->verify(shown_by(bar, "verify"));
  bar.reset();
  print_check(report, flags);
  if (report.ok()) return;
  if (store.resize_under_way()) {
    throw Error(ErrorCode::kFailedPrecondition,
                "a resize of " + flags.root + " is under way; finish it and verify again: annulus artifact resize " + flags.root);
  }
  if (report.damaged + report.missing + report.strangers + report.lost == 0) {
    throw Error(ErrorCode::kUnavailable,
                counted(report.problems.size(), "problem") + " kept it from being whole; bring every host up and verify again");
  }
  throw Error(ErrorCode::kDataLoss,
              fmt::format("{} damaged, {} missing, {} where they do not belong, {} lost; run annulus artifact repair {}",
                          counted(report.damaged, "replica"), report.missing, report.strangers, counted(report.lost, "artifact"),
                          flags.root));
}

void repair(const ArtifactFlags& flags) {
  (void)load_artifact_cluster(flags.root);
  const ArtifactResizeLock alone(flags.root);
  const auto store = open_artifact_cluster(flags.root);
  if (store.resize_under_way()) {
    throw Error(ErrorCode::kFailedPrecondition,
                "a resize of " + flags.root + " is under way; finish it first: annulus artifact resize " + flags.root);
  }
  std::optional<ProgressBar> bar;
  const ArtifactCheckReport report = store->repair(shown_by(bar, "repair"));
  bar.reset();
  print_check(report, flags);
  if (!flags.json) print(fmt::format("{} healed, {} removed\n", counted(report.healed, "replica"), with_commas(report.removed)));
  if (report.repaired()) return;
  throw Error(ErrorCode::kDataLoss, fmt::format("{} lost, and {} left; bring every host up and repair again; what a get still puts "
                                                "together from several replicas can be put again",
                                                counted(report.lost, "artifact"), counted(report.problems.size(), "problem")));
}

CLI::App& add_command(CLI::App& artifact, const std::string& name, const std::string& help,
                      const std::shared_ptr<ArtifactFlags>& flags) {
  CLI::App& command = *artifact.add_subcommand(name, help);
  command.add_option("ROOT", flags->root, "The store's folder, which holds cluster.json")->required();
  command.add_flag("--json", flags->json, "Print one JSON document");
  return command;
}

void add_name(CLI::App& command, ArtifactFlags& flags) {
  command.add_option("NAME", flags.name, "The artifact, as llama/lora-7")->required();
}

}  // namespace

void add_artifact_commands(CLI::App& app) {
  CLI::App& artifact = *app.add_subcommand("artifact", "Checkpoints and other files, replicated over folders");
  artifact.require_subcommand(1);
  const auto flags = std::make_shared<ArtifactFlags>();

  CLI::App& init_command = add_command(artifact, "init", "Make a store", flags);
  init_command
      .add_option("--host", flags->hosts, "A host: ID[:WEIGHT[:ZONE]][=FOLDER], without FOLDER in ROOT/ID; repeat it for more")
      ->allow_extra_args(false)
      ->required();
  init_command.add_option("--replicas", flags->replicas, "Hosts that hold each artifact")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  init_command.callback([flags] { init(*flags); });

  CLI::App& put_command = add_command(artifact, "put", "Store a file, as a new version", flags);
  add_name(put_command, *flags);
  put_command.add_option("FILE", flags->file, "The content; - is standard input")->required();
  put_command.callback([flags] { put(*flags); });

  CLI::App& get_command = add_command(artifact, "get", "Fetch the newest version, checked, and heal its replicas", flags);
  add_name(get_command, *flags);
  get_command.add_option("FILE", flags->file, "Where to; - is standard output, and without it the last part of the name");
  get_command.callback([flags] { get(*flags); });

  CLI::App& list_command = add_command(artifact, "ls", "List artifacts", flags);
  list_command.add_option("PREFIX", flags->name, "Only names that begin so");
  list_command.callback([flags] { list(*flags); });

  CLI::App& remove_command = add_command(artifact, "rm", "Erase artifacts", flags);
  remove_command.add_option("NAME", flags->names, "Artifacts")->required();
  remove_command.callback([flags] { remove(*flags); });

  CLI::App& verify_command = add_command(artifact, "verify", "Read and hash every replica; exit 1 if something is wrong", flags);
  verify_command.callback([flags] { verify(*flags); });

  CLI::App& repair_command =
      add_command(artifact, "repair", "Bring every artifact to its hosts, whole, and collect what is left over", flags);
  repair_command.callback([flags] { repair(*flags); });

  add_artifact_resize(artifact);
}

}  // namespace annulus::cli
