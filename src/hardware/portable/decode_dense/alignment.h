// How wide the arrays of a call may be read.
#pragma once

namespace seesaw::portable::decode_dense {

struct Alignment {
  bool has_16_byte_keys = false;    // every key starts at a multiple of 16 bytes
  bool has_4_byte_queries = false;  // every row of q at a multiple of 4, and d_qk is even
};

}  // namespace seesaw::portable::decode_dense
