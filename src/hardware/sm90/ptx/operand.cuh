// Operands of products in shared memory. PTX ISA, "wgmma", "matrix descriptor format".
#pragma once

#include <cstdint>

namespace seesaw::sm90::ptx {

/// Describes an operand in shared memory, swizzled by 128 bytes. Only its low word has the address,
/// in units of 16 bytes: neighbouring operands are one addition apart, where making each from its
/// address takes five dependent instructions, longer than a product of 64 columns.
struct Operand {
  std::uint32_t low;
  std::uint32_t high;

  __device__ __forceinline__ Operand after(int bytes) const {
    return {low + static_cast<std::uint32_t>(bytes >> 4), high};
  }
};

/// Without the bits above an address that tell a cluster's blocks apart.
__device__ __forceinline__ std::uint32_t address_field(std::uint32_t address) {
  return (address & 0x3ffff) >> 4;
}

/// Rows of 64 elements (128 bytes) along the products' k: groups of 8 rows are 1,024 bytes apart.
__device__ __forceinline__ Operand operand_along_k(std::uint32_t address) {
  return {address_field(address) | 1u << 16, 1024u >> 4 | 1u << 30};
}

/// The same memory read across: rows of 64 elements along n, the next 64 along n are
/// `column_bytes` away, groups of 8 along k are 1,024 bytes apart.
__device__ __forceinline__ Operand operand_along_n(std::uint32_t address, int column_bytes) {
  return {address_field(address) | static_cast<std::uint32_t>(column_bytes >> 4) << 16,
          1024u >> 4 | 1u << 30};
}

}  // namespace seesaw::sm90::ptx
