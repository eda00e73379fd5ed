// Dense MLA decode on Hopper: one block a multiprocessor, three warpgroups of two roles, working
// through the pieces of sequences that its group's ranges hold. docs/kernels/decode_dense.md.
#pragma once

#include "hardware/cuda/dependent_launch.cuh"
#include "hardware/sm90/decode_dense/score_warpgroup.cuh"
#include "hardware/sm90/decode_dense/tensor_maps.h"
#include "hardware/sm90/decode_dense/value_warpgroup.cuh"
#include "hardware/sm90/ptx/thread.cuh"

namespace seesaw::sm90::decode_dense {

/// kMergesPieces: the blocks merge the pieces of split sequences; else launch_combine does. Two
/// kernels, for every instruction that is not there is one less to fetch in a short call.
template <typename Config, typename Element, bool kMergesPieces>
__global__ void __launch_bounds__(kThreads, 1)
    decode_dense(const __grid_constant__ CUtensorMap key_map,
                 const __grid_constant__ CUtensorMap tail_map,
                 const __grid_constant__ KernelArgs args) {
  extern __shared__ __align__(1024) unsigned char memory[];
  // As the compiler cannot know, the same in all threads of a warp.
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);
  const int group_size = args.call.shape.group_size;
  const int group = blockIdx.x / group_size;
  const Block<Config> block{.key_map = &key_map,
                            .tail_map = &tail_map,
                            .args = &args,
                            .memory = memory,
                            .base = static_cast<std::uint32_t>(__cvta_generic_to_shared(memory)),
                            .rank = static_cast<int>(blockIdx.x) - group * group_size};
  if (ptx::thread() == 0) {
    block.barriers().init();
    ptx::prefetch_map(&key_map);
    ptx::prefetch_map(&tail_map);
  }
  cuda::wait_for_previous_kernel();
  cuda::let_next_kernel_start();
  if (warp < 4) {
    load_first_queries<Config, Element>(block, group);
  } else if (warp == 4) {
    start_lists<kMergesPieces>(args, group, block.rank, block.lists());
  }
  __syncthreads();
  if (warp < 4) {
    ptx::take_registers<kScoreRegisters>();
    run_score_warpgroup<Config, Element>(block);
  } else {
    ptx::leave_registers<kValueRegisters>();
    run_value_warpgroup<Config, Element, kMergesPieces>(block, warp / 4 - 1);
  }
}

/// As many blocks as the shape has workers, one after the previous kernel of the stream.
template <typename Config, typename Element>
Status launch(const TensorMaps& maps, const KernelArgs& args, cuda::StreamHandle stream) {
  const GroupShape& shape = args.call.shape;
  const cuda::LaunchShape launch_shape{
      .grid = dim3(static_cast<unsigned>(shape.num_groups * shape.group_size)),
      .block = dim3(kThreads),
      .shared_bytes = Shared<Config>::kBytes};
  const auto launch_kernel = [&]<bool kMergesPieces>() {
    return cuda::launch_dependent<&decode_dense<Config, Element, kMergesPieces>>(
        "sm90_decode_dense", launch_shape, stream, maps.keys, maps.tail, args);
  };
  return args.call.arrivals != nullptr ? launch_kernel.template operator()<true>()
                                       : launch_kernel.template operator()<false>();
}

}  // namespace seesaw::sm90::decode_dense
