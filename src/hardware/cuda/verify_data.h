// DataCheck::kVerify on a CUDA device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hardware/cuda/decode_call.h"
#include "hardware/cuda/decode_launch.h"
#include "seesaw/types/status.h"

namespace seesaw::cuda {

/// Reads the prepared plan, every length, and every block table entry that a length uses; follows
/// none of them. Waits for the stream. max_pages is the width of block_table; scratch is 64 bytes
/// of device memory.
/// Errors: kCorruptData (the first bad length or entry with its coordinates, or a workspace that
/// holds no plan of this shape), kInvalidArgument (the stream is being captured), kDeviceError.
Status verify_data(const DecodeCall& call, std::int64_t max_pages, std::byte* scratch,
                   StreamHandle stream);

}  // namespace seesaw::cuda
