#include "shard/fan_out.h"

#include <new>

namespace annulus {

ShardError describe_failure(const std::string& shard, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const Error& error) {
    return {shard, error.code(), error.what()};
  } catch (const std::exception& error) {
    return {shard, ErrorCode::kInternal, error.what()};
  }
}

}  // namespace annulus
