// A page whose contents have to be copied before it is written.
#pragma once

#include <cstdint>

namespace seesaw {

/// Contents to copy before a page is written, because it was shared (copy-on-write).
struct PageCopy {
  std::int32_t from_page = 0;
  std::int32_t to_page = 0;
  std::int32_t num_tokens = 0;  // leading tokens of the page that are in use
};

}  // namespace seesaw
