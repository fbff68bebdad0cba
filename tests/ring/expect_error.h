// EXPECT_ERROR(statement, code, "words", "of", "the message"): it throws annulus::Error, and says these things.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "core/error.h"

namespace annulus {

inline void expect_message(const Error& error, ErrorCode code, std::initializer_list<std::string> parts) {
  EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
  for (const std::string& part : parts) EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
}

}  // namespace annulus

#define EXPECT_ERROR(statement, code, ...)                  \
  try {                                                     \
    statement;                                              \
    ADD_FAILURE() << "no error: " #statement;               \
  } catch (const ::annulus::Error& caught) {                \
    ::annulus::expect_message(caught, code, {__VA_ARGS__}); \
  }
