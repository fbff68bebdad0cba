#include "core/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace annulus {
namespace {

TEST(Error, CarriesItsCodeAndMessage) {
  try {
    throw Error(ErrorCode::kNotFound, "node n7 is not on the ring");
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "node n7 is not on the ring");
    EXPECT_EQ(dynamic_cast<const Error&>(e).code(), ErrorCode::kNotFound);
  }
}

TEST(Error, CodesHaveTheCanonicalNames) {
  EXPECT_EQ(to_string(ErrorCode::kInvalidArgument), "INVALID_ARGUMENT");
  EXPECT_EQ(to_string(ErrorCode::kNotFound), "NOT_FOUND");
  EXPECT_EQ(to_string(ErrorCode::kAlreadyExists), "ALREADY_EXISTS");
  EXPECT_EQ(to_string(ErrorCode::kFailedPrecondition), "FAILED_PRECONDITION");
  EXPECT_EQ(to_string(ErrorCode::kResourceExhausted), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(to_string(ErrorCode::kAborted), "ABORTED");
  EXPECT_EQ(to_string(ErrorCode::kUnavailable), "UNAVAILABLE");
  EXPECT_EQ(to_string(ErrorCode::kDataLoss), "DATA_LOSS");
  EXPECT_EQ(to_string(ErrorCode::kUnimplemented), "UNIMPLEMENTED");
  EXPECT_EQ(to_string(ErrorCode::kInternal), "INTERNAL");
  EXPECT_EQ(to_string(static_cast<ErrorCode>(99)), "UNKNOWN");
}

}  // namespace
}  // namespace annulus
