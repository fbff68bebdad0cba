#include "cache/cache_node.h"

namespace annulus {

CacheNode::~CacheNode() = default;

}  // namespace annulus
