#include "seesaw/kv_cache.h"

#include <fmt/format.h>

#include <utility>

#include "hardware/cpu/kv_copy.h"
#include "system/view_rules.h"

namespace seesaw {
namespace {

template <typename... Args>
Status invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}

template <typename... Args>
Status corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kCorruptData, fmt::format(format, std::forward<Args>(args)...)};
}

Status check_executor(const Executor& executor) {
  if (executor.kind() == DeviceKind::kCuda) {
    return {StatusCode::kUnsupported,
            "executor: is a CUDA stream, must be a CPU executor: this version copies caches on the "
            "CPU only"};
  }
  if (!executor.is_empty()) return Status::ok();
  return invalid("executor: is empty, must not have been moved from");
}

/// A paged array of an unscaled format.
Status check_cache(const ConstTensorView& cache, const char* name, KvFormat format,
                   const char* format_name, Access access) {
  const auto dtype = plain_dtype(format);
  if (!dtype) {
    return {StatusCode::kUnsupported, fmt::format("{}: is {}, must be float32, bfloat16 or float16",
                                                  format_name, to_string(format))};
  }
  return check_view(cache, {.name = name,
                            .dtype = *dtype,
                            .dtype_term = format_name,
                            .rank = 4,
                            .dims = {{{"num_pages"}, {"page_size"}, {"h_kv"}, {"d_qk"}}},
                            .last_stride = LastStride::kUnit,
                            .access = access});
}

/// `dtype` where a float type is free to choose: what the view says, if it is one of the three.
Status check_float(const ConstTensorView& view, const char* name) {
  if (view.is_empty_argument() || is_attention_float(view.dtype)) return Status::ok();
  return invalid("{}.dtype: is {}, must be float32, bfloat16 or float16", name,
                 to_string(view.dtype));
}

bool has_no_element(const ConstTensorView& view) {
  for (int i = 0; i < view.rank; ++i) {
    if (view.dim(i) == 0) return true;
  }
  return false;
}

std::int64_t num_slots(const ConstTensorView& cache) { return cache.dim(0) * cache.dim(1); }

Status check_append_views(const AppendArgs& args, KvFormat format) {
  Status status = check_cache(args.kv_cache, "kv_cache", format, "format", Access::kWrite);
  if (!status) return status;
  const std::int64_t h_kv = args.kv_cache.dim(2);
  const std::int64_t d_qk = args.kv_cache.dim(3);
  if (status = check_float(args.latent, "latent"); !status) return status;
  status = check_view(args.latent, {.name = "latent",
                                    .dtype = args.latent.dtype,
                                    .rank = 3,
                                    .dims = {{{"num_tokens"}, {"h_kv", h_kv}, {"d_latent"}}}});
  if (!status) return status;
  const std::int64_t num_tokens = args.latent.dim(0);
  const std::int64_t d_latent = args.latent.dim(2);
  if (args.rope.is_empty_argument() && d_latent != d_qk) {
    return invalid("latent.shape[2]: is {}, must be d_qk = {} where rope is not given", d_latent,
                   d_qk);
  }
  if (d_latent > d_qk) {
    return invalid("latent.shape[2]: is {}, must be at most d_qk = {}", d_latent, d_qk);
  }
  status = check_optional_view(args.rope, {.name = "rope",
                                           .dtype = args.latent.dtype,
                                           .dtype_term = "latent.dtype",
                                           .rank = 3,
                                           .dims = {{{"num_tokens", num_tokens},
                                                     {"h_kv", h_kv},
                                                     {"d_qk - d_latent", d_qk - d_latent}}}});
  if (!status) return status;
  return check_view(args.slot_mapping, {.name = "slot_mapping",
                                        .dtype = DType::kInt64,
                                        .rank = 1,
                                        .dims = {{{"num_tokens", num_tokens}}},
                                        .last_stride = LastStride::kAny});
}

Status check_slots(const ConstTensorView& slot_mapping, std::int64_t num_slots) {
  const auto* slots = static_cast<const std::int64_t*>(slot_mapping.data);
  for (std::int64_t i = 0; i < slot_mapping.dim(0); ++i) {
    const std::int64_t slot = slots[i * slot_mapping.step(0)];
    if (slot < -1 || slot >= num_slots) {
      return corrupt("slot_mapping[{}]: is {}, must be -1 or in [0, num_pages * page_size = {})", i,
                     slot, num_slots);
    }
  }
  return Status::ok();
}

Status check_gather_views(const GatherArgs& args, KvFormat format) {
  Status status = check_cache(args.kv_cache, "kv_cache", format, "format", Access::kRead);
  if (!status) return status;
  status = check_view(args.cache_seqlens, {.name = "cache_seqlens",
                                           .dtype = DType::kInt32,
                                           .rank = 1,
                                           .dims = {{{"b"}}},
                                           .last_stride = LastStride::kAny});
  if (!status) return status;
  status =
      check_view(args.block_table, {.name = "block_table",
                                    .dtype = DType::kInt32,
                                    .rank = 2,
                                    .dims = {{{"b", args.cache_seqlens.dim(0)}, {"max_pages"}}},
                                    .last_stride = LastStride::kAny});
  if (!status) return status;
  if (status = check_float(args.out, "out"); !status) return status;
  return check_view(args.out, {.name = "out",
                               .dtype = args.out.dtype,
                               .rank = 3,
                               .dims = {{{"sum of cache_seqlens"},
                                         {"h_kv", args.kv_cache.dim(2)},
                                         {"d_qk", args.kv_cache.dim(3)}}},
                               .access = Access::kWrite});
}

/// Lengths first, so that no entry of the table beyond its row is looked at.
Status check_lengths(const GatherArgs& args) {
  const auto* lengths = static_cast<const std::int32_t*>(args.cache_seqlens.data);
  const std::int64_t most = args.block_table.dim(1) * args.kv_cache.dim(1);
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < args.cache_seqlens.dim(0); ++i) {
    const std::int32_t length = lengths[i * args.cache_seqlens.step(0)];
    if (length < 0 || length > most) {
      return corrupt("cache_seqlens[{}]: is {}, must be in [0, max_pages * page_size = {}]", i,
                     length, most);
    }
    sum += length;
  }
  if (sum == args.out.dim(0)) return Status::ok();
  return invalid("out.shape[0]: is {}, must be the sum of cache_seqlens = {}", args.out.dim(0),
                 sum);
}

Status check_pages(const GatherArgs& args) {
  const auto* lengths = static_cast<const std::int32_t*>(args.cache_seqlens.data);
  const auto* table = static_cast<const std::int32_t*>(args.block_table.data);
  const std::int64_t page_size = args.kv_cache.dim(1);
  for (std::int64_t request = 0; request < args.cache_seqlens.dim(0); ++request) {
    const std::int32_t length = lengths[request * args.cache_seqlens.step(0)];
    for (std::int64_t i = 0; i * page_size < length; ++i) {
      const std::int32_t page =
          table[request * args.block_table.step(0) + i * args.block_table.step(1)];
      if (page < 0 || page >= args.kv_cache.dim(0)) {
        return corrupt(
            "block_table[{}, {}]: is {}, must be in [0, num_pages = {}): request {} has {} tokens "
            "in pages of {}",
            request, i, page, args.kv_cache.dim(0), request, length, page_size);
      }
    }
  }
  return Status::ok();
}

Status check_copies(std::span<const PageCopy> copies, const TensorView& kv_cache) {
  const auto check_page = [&](std::size_t i, const char* field, std::int32_t page) -> Status {
    if (page >= 0 && page < kv_cache.dim(0)) return Status::ok();
    return corrupt("copies[{}].{}: is {}, must be in [0, num_pages = {})", i, field, page,
                   kv_cache.dim(0));
  };
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const PageCopy& copy = copies[i];
    if (Status status = check_page(i, "from_page", copy.from_page); !status) return status;
    if (Status status = check_page(i, "to_page", copy.to_page); !status) return status;
    if (copy.from_page == copy.to_page) {
      return corrupt("copies[{}].to_page: is {}, must differ from from_page", i, copy.to_page);
    }
    if (copy.num_tokens < 0 || copy.num_tokens > kv_cache.dim(1)) {
      return corrupt("copies[{}].num_tokens: is {}, must be in [0, page_size = {}]", i,
                     copy.num_tokens, kv_cache.dim(1));
    }
  }
  return Status::ok();
}

}  // namespace

Status append(const AppendArgs& args, KvFormat format, Executor& executor) {
  if (Status status = check_executor(executor); !status) return status;
  if (Status status = check_append_views(args, format); !status) return status;
  if (Status status = check_slots(args.slot_mapping, num_slots(args.kv_cache)); !status) {
    return status;
  }
  if (args.latent.dim(0) == 0 || has_no_element(args.kv_cache)) return Status::ok();
  cpu::launch_append({.latent = args.latent,
                      .rope = args.rope,
                      .slot_mapping = args.slot_mapping,
                      .kv_cache = args.kv_cache},
                     executor.thread_pool());
  return Status::ok();
}

Status gather(const GatherArgs& args, KvFormat format, Executor& executor) {
  if (Status status = check_executor(executor); !status) return status;
  if (Status status = check_gather_views(args, format); !status) return status;
  if (Status status = check_lengths(args); !status) return status;
  if (Status status = check_pages(args); !status) return status;
  if (has_no_element(args.out)) return Status::ok();
  cpu::launch_gather({.kv_cache = args.kv_cache,
                      .block_table = args.block_table,
                      .cache_seqlens = args.cache_seqlens,
                      .out = args.out},
                     executor.thread_pool());
  return Status::ok();
}

Status convert(const ConstTensorView& from, KvFormat from_format, const TensorView& to,
               KvFormat to_format, Executor& executor) {
  if (Status status = check_executor(executor); !status) return status;
  Status status = check_cache(from, "from", from_format, "from_format", Access::kRead);
  if (!status) return status;
  status = check_cache(to, "to", to_format, "to_format", Access::kWrite);
  if (!status) return status;
  constexpr const char* kTerms[] = {"num_pages", "page_size", "h_kv", "d_qk"};
  for (int i = 0; i < 4; ++i) {
    if (to.dim(i) == from.dim(i)) continue;
    return invalid("to.shape[{}]: is {}, must be {} = {}", i, to.dim(i), kTerms[i], from.dim(i));
  }
  if (has_no_element(from)) return Status::ok();
  cpu::launch_convert(from, to, executor.thread_pool());
  return Status::ok();
}

Status copy_pages(std::span<const PageCopy> copies, const TensorView& kv_cache, KvFormat format,
                  Executor& executor) {
  if (Status status = check_executor(executor); !status) return status;
  Status status = check_cache(kv_cache, "kv_cache", format, "format", Access::kWrite);
  if (!status) return status;
  if (status = check_copies(copies, kv_cache); !status) return status;
  if (copies.empty() || has_no_element(kv_cache)) return Status::ok();
  cpu::launch_copy_pages(copies, kv_cache, executor.thread_pool());
  return Status::ok();
}

}  // namespace seesaw
