#include "core/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "core/error.h"

namespace annulus {
namespace {

constexpr std::size_t kWriteBackBytes = std::size_t{1} << 20;  // shorter pieces are left to the kernel

void put_u32(std::string& out, std::uint32_t v) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(v >> (8 * i));
}
void put_u64(std::string& out, std::uint64_t v) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>(v >> (8 * i));
}
std::uint64_t get_le(std::string_view bytes, std::size_t offset, std::size_t size) {
  std::uint64_t v = 0;
  for (std::size_t i = 0; i < size; ++i) v |= std::uint64_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
  return v;
}

constexpr std::string_view kMagic = "ANNULUS\x1a";
// magic, u32 kind, u32 version, u64 length, then the checksum of all before it and of the payload
constexpr std::size_t kChecksumAt = 8 + 4 + 4 + 8;
constexpr std::size_t kHeaderBytes = kChecksumAt + 16;

XXH128_hash_t envelope_checksum(std::string_view head, std::string_view payload) {
  const XXH128_hash_t inner = XXH3_128bits(payload.data(), payload.size());
  std::string all(head);
  put_u64(all, inner.low64);
  put_u64(all, inner.high64);
  return XXH3_128bits(all.data(), all.size());
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  static std::atomic<std::uint64_t> counter{0};
  temporary_ += ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter.fetch_add(1));
  file_ = FileDescriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file_.is_open()) throw_system_error("cannot create", temporary_, errno);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  write_fully(file_.get(), bytes, temporary_);
  if (bytes.size() >= kWriteBackBytes) start_writing_back(file_.get(), written_, bytes.size());
  written_ += bytes.size();
}

void AtomicFile::commit() {
  sync_file(file_.get(), temporary_);
  file_.close();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw_system_error("cannot rename to", path_, errno);
  temporary_.clear();
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) throw_system_error("cannot sync", folder, errno);
  sync_file(directory.get(), folder);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.append(std::as_bytes(std::span(bytes)));
  file.commit();
}

std::string read_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) throw_system_error("cannot open", path, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) throw_system_error("cannot stat", path, errno);
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  bytes.resize(read_fully(file.get(), std::as_writable_bytes(std::span(bytes)), 0, path));
  return bytes;
}

std::string seal_envelope(EnvelopeKind kind, std::uint32_t version, std::string_view payload) {
  std::string sealed(kMagic);
  sealed.reserve(kHeaderBytes + payload.size());
  put_u32(sealed, static_cast<std::uint32_t>(kind));
  put_u32(sealed, version);
  put_u64(sealed, payload.size());
  const XXH128_hash_t checksum = envelope_checksum(sealed, payload);
  put_u64(sealed, checksum.low64);
  put_u64(sealed, checksum.high64);
  sealed += payload;
  return sealed;
}

std::string_view open_envelope(EnvelopeKind kind, std::uint32_t newest, std::string_view bytes, std::string_view name,
                               std::uint32_t* version) {
  const std::string source(name);
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size())) {
    throw Error(ErrorCode::kInvalidArgument, source + " is not a file of Annulus (its first bytes differ)");
  }
  if (bytes.size() < kHeaderBytes) {
    throw Error(ErrorCode::kDataLoss, source + " is truncated: " + std::to_string(bytes.size()) + " bytes, a header has " +
                                          std::to_string(kHeaderBytes));
  }
  const std::string_view payload = bytes.substr(kHeaderBytes);
  const std::uint64_t length = get_le(bytes, 16, 8);
  if (payload.size() != length) {
    throw Error(ErrorCode::kDataLoss, source + " is " + (payload.size() < length ? "truncated" : "longer than it says") + ": " +
                                          std::to_string(payload.size()) + " bytes of payload, " + std::to_string(length) +
                                          " expected; restore it from a copy");
  }
  const XXH128_hash_t checksum = envelope_checksum(bytes.substr(0, kChecksumAt), payload);
  if (checksum.low64 != get_le(bytes, kChecksumAt, 8) || checksum.high64 != get_le(bytes, kChecksumAt + 8, 8)) {
    throw Error(ErrorCode::kDataLoss, source + " is corrupt: its checksum does not match; restore it from a copy");
  }
  const std::uint64_t found = get_le(bytes, 8, 4);
  if (found != static_cast<std::uint32_t>(kind)) {
    throw Error(ErrorCode::kInvalidArgument, source + " holds content of kind " + std::to_string(found) + ", expected kind " +
                                                 std::to_string(static_cast<std::uint32_t>(kind)) +
                                                 " (1 ring, 2 index, 3 codec, 4 artifact manifest)");
  }
  const std::uint64_t written = get_le(bytes, 12, 4);
  if (written == 0 || written > newest) {
    throw Error(ErrorCode::kUnimplemented, source + " has format version " + std::to_string(written) +
                                               "; this build reads up to " + std::to_string(newest));
  }
  if (version != nullptr) *version = static_cast<std::uint32_t>(written);
  return payload;
}

}  // namespace annulus
