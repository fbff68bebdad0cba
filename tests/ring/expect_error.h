// EXPECT_ERROR(statement, code, "words", "of", "the message"): it throws annulus::Error, and says these things.
#pragma once

#include "tests/core/expect_error.h"

#define EXPECT_ERROR(statement, code, ...) ::annulus::testing::expect_error(code, {__VA_ARGS__}, [&] { statement; })
