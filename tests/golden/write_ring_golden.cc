// Prints what tests/golden/ring_v1.json would be if today's code were right. Only for a decision to change it:
//   write_ring_golden > tests/golden/ring_v1.json
#include <iostream>

#include "tests/golden/ring_golden.h"

int main() { std::cout << annulus::ring_golden().dump(1) << "\n"; }
