// The paged cache: who owns which page, and operations on its memory.
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "binding.h"

namespace seesaw::python {
namespace {

using namespace nb::literals;

void run_append(nb::handle latent, nb::handle rope, nb::handle slot_mapping, nb::handle kv_cache,
                KvFormat format, OwnedExecutor* executor) {
  const Loans loans;
  CallExecutor runs(executor, "kv_cache", kv_cache);
  const Input latent_in = input("latent", latent, *runs);
  const Input rope_in = optional_input("rope", rope, *runs);
  const Input slots = input("slot_mapping", slot_mapping, *runs);
  const Output cache = output("kv_cache", kv_cache, *runs);
  loans.check(latent_in, rope_in, slots, cache);
  check_apart({{"kv_cache", cache.view}},
              {{"latent", latent_in.view}, {"rope", rope_in.view}, {"slot_mapping", slots.view}});
  const WithoutInterpreter without_interpreter;
  throw_if_error(append({latent_in.view, rope_in.view, slots.view, cache.view}, format, *runs));
}

/// [sum of cache_seqlens, h_kv, d_qk], as gather's own output is.
ResultArray gathered(const Input& cache, const Input& table, nb::handle cache_seqlens,
                     KvFormat format, nb::object out, nb::handle kv_cache,
                     const Executor& executor) {
  if (!out.is_none()) return ResultArray("out", out, kv_cache, {}, DType::kFloat32, executor);
  const std::optional<DType> dtype = plain_dtype(format);
  if (!dtype) {
    throw Error(Status(StatusCode::kUnsupported, std::string("format: is ") + to_string(format) +
                                                     ", must be an unscaled one"));
  }
  if (executor.kind() != DeviceKind::kCpu) refuse("executor", "a CUDA one", "a CPU one");
  if (cache.view.rank != 4) refuse("kv_cache.rank", std::to_string(cache.view.rank), "4");
  const std::vector<std::int32_t> lengths = read_lengths("cache_seqlens", cache_seqlens);
  const std::int64_t longest = table.view.rank == 2 ? table.view.dim(1) * cache.view.dim(1) : 0;
  const bool are_possible = std::ranges::all_of(
      lengths, [&](std::int32_t length) { return 0 <= length && length <= longest; });
  // The library refuses the others, for which there may be no memory, and negative dimensions.
  const std::int64_t num_tokens =
      are_possible ? std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}) : 0;
  const auto dim = [&](int i) { return std::max<std::int64_t>(cache.view.dim(i), 0); };
  return ResultArray("out", out, kv_cache, {num_tokens, dim(2), dim(3)}, *dtype, executor);
}

nb::any run_gather(nb::handle kv_cache, nb::handle block_table, nb::handle cache_seqlens,
                   KvFormat format, OwnedExecutor* executor, nb::object out) {
  const Loans loans;
  CallExecutor runs(executor, "kv_cache", kv_cache);
  const Input cache = input("kv_cache", kv_cache, *runs);
  const Input table = input("block_table", block_table, *runs);
  const Input lengths = input("cache_seqlens", cache_seqlens, *runs);
  ResultArray result =
      gathered(cache, table, cache_seqlens, format, std::move(out), kv_cache, *runs);
  const Output out_array = output("out", result.memory(), *runs);
  loans.check(cache, table, lengths, out_array);
  check_apart(
      {{"out", out_array.view}},
      {{"kv_cache", cache.view}, {"block_table", table.view}, {"cache_seqlens", lengths.view}});
  {
    const WithoutInterpreter without_interpreter;
    throw_if_error(gather({cache.view, table.view, lengths.view, out_array.view}, format, *runs));
  }
  return nb::borrow<nb::any>(result.take());
}

void run_convert(nb::handle from, KvFormat from_format, nb::handle to, KvFormat to_format,
                 OwnedExecutor* executor) {
  const Loans loans;
  CallExecutor runs(executor, "from_array", from);
  const Input source = input("from_array", from, *runs);
  const Output target = output("to_array", to, *runs);
  loans.check(source, target);
  check_apart({{"to_array", target.view}}, {{"from_array", source.view}});
  const WithoutInterpreter without_interpreter;
  const Status status = convert(source.view, from_format, target.view, to_format, *runs);
  throw_if_error(renamed(renamed(status, "from", "from_array"), "to", "to_array"));
}

void run_copy_pages(const std::vector<PageCopy>& copies, nb::handle kv_cache, KvFormat format,
                    OwnedExecutor* executor) {
  CallExecutor runs(executor, "kv_cache", kv_cache);
  const Output cache = output("kv_cache", kv_cache, *runs);
  const WithoutInterpreter without_interpreter;
  throw_if_error(copy_pages(copies, cache.view, format, *runs));
}

std::vector<PageCopy> extend(PageAllocator& pages, SequenceId sequence, std::int64_t num_tokens) {
  std::vector<PageCopy> copies;
  throw_if_error(pages.extend(sequence, num_tokens, copies));
  return copies;
}

std::vector<std::int32_t> pages_of(const PageAllocator& pages, SequenceId sequence) {
  throw_if_error(pages.num_pages_to_extend(sequence, 0).status());  // an unknown one has no pages
  const std::span<const std::int32_t> held = pages.pages(sequence);
  return {held.begin(), held.end()};
}

using SlotArray = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

SlotArray slots_of(const PageAllocator& pages, SequenceId sequence, std::int64_t first_token,
                   std::int64_t num_tokens) {
  const std::int64_t held = std::max<std::int64_t>(pages.num_tokens(sequence), 0);
  if (num_tokens < 0 || num_tokens > held) {
    refuse("num_tokens", std::to_string(num_tokens), "in [0, " + std::to_string(held) + "]");
  }
  auto slots = std::make_unique<std::vector<std::int64_t>>(static_cast<std::size_t>(num_tokens));
  throw_if_error(pages.slots(sequence, first_token, *slots));
  std::int64_t* const data = slots->data();
  const nb::capsule owner(slots.get(), [](void* memory) noexcept {
    delete static_cast<std::vector<std::int64_t>*>(memory);
  });
  slots.release();
  return SlotArray(data, {static_cast<std::size_t>(num_tokens)}, owner);
}

}  // namespace

void bind_cache(nb::module_& module) {
  nb::class_<PageCopy>(module, "PageCopy",
                       "A page whose contents have to be copied before it is written.")
      .def(nb::init<std::int32_t, std::int32_t, std::int32_t>(), "from_page"_a, "to_page"_a,
           "num_tokens"_a)
      .def_ro("from_page", &PageCopy::from_page)
      .def_ro("to_page", &PageCopy::to_page)
      .def_ro("num_tokens", &PageCopy::num_tokens, "Leading tokens of the page that are in use.");

  nb::class_<PageAllocator>(
      module, "PageAllocator",
      "Who owns which page of a paged cache; never touches its memory. Pages are counted by "
      "reference: forks and prefixes share them until one writes. One owner at a time. A failing "
      "call changes nothing.")
      .def(nb::init<std::int32_t, std::int32_t>(), "num_pages"_a, "page_size"_a)
      .def("create", &PageAllocator::create, "A new empty sequence.")
      .def("extend", &extend, "sequence"_a, "num_tokens"_a,
           "Makes room for num_tokens more. Returns the copies to make (kv_cache.copy_pages) "
           "before the tokens are written.")
      .def(
          "num_pages_to_extend",
          [](const PageAllocator& pages, SequenceId sequence, std::int64_t num_tokens) {
            return pages.num_pages_to_extend(sequence, num_tokens).value();
          },
          "sequence"_a, "num_tokens"_a, "Free pages that extend would take.")
      .def(
          "fork",
          [](PageAllocator& pages, SequenceId sequence) { return pages.fork(sequence).value(); },
          "sequence"_a, "A new sequence that shares all tokens of this one.")
      .def(
          "share_prefix",
          [](PageAllocator& pages, SequenceId sequence, std::int64_t num_tokens) {
            return pages.share_prefix(sequence, num_tokens).value();
          },
          "sequence"_a, "num_tokens"_a, "A new sequence that shares the first num_tokens tokens.")
      .def(
          "truncate",
          [](PageAllocator& pages, SequenceId sequence, std::int64_t num_tokens) {
            throw_if_error(pages.truncate(sequence, num_tokens));
          },
          "sequence"_a, "num_tokens"_a, "Forgets the tokens behind the first num_tokens.")
      .def(
          "free",
          [](PageAllocator& pages, SequenceId sequence) { throw_if_error(pages.free(sequence)); },
          "sequence"_a, "Gives the sequence's pages back.")
      .def("pages", &pages_of, "sequence"_a, "Its pages in token order: its block table row.")
      .def("num_tokens", &PageAllocator::num_tokens, "sequence"_a, "-1 for an unknown sequence.")
      .def("num_own_pages", &PageAllocator::num_own_pages, "sequence"_a,
           "Pages that free would give back: those that no other sequence shares; -1 for an "
           "unknown sequence.")
      .def(
          "slot",
          [](const PageAllocator& pages, SequenceId sequence, std::int64_t token) {
            return pages.slot(sequence, token).value();
          },
          "sequence"_a, "token"_a, "page * page_size + offset of a token.")
      .def("slots", &slots_of, "sequence"_a, "first_token"_a, "num_tokens"_a,
           "page * page_size + offset of tokens, as kv_cache.append's slot_mapping wants them.")
      .def("ref_count", &PageAllocator::ref_count, "page"_a,
           "Sequences that hold the page; -1 of a page outside the pool.")
      .def_prop_ro("page_size", &PageAllocator::page_size)
      .def_prop_ro("num_pages", &PageAllocator::num_pages)
      .def_prop_ro("num_free_pages", &PageAllocator::num_free_pages)
      .def_prop_ro("num_sequences", &PageAllocator::num_sequences);

  module.def("append", &run_append, "latent"_a.none(), "rope"_a.none(), "slot_mapping"_a.none(),
             "kv_cache"_a.none(), "format"_a, "executor"_a.none() = nb::none(),
             "Writes new tokens into their slots.\n\n"
             "latent        [num_tokens, h_kv, d_latent], float32, bfloat16 or float16\n"
             "rope          [num_tokens, h_kv, d_rope], the same type, or None\n"
             "slot_mapping  int64 [num_tokens]: page * page_size + offset; -1 skips a token\n"
             "kv_cache      [num_pages, page_size, h_kv, d_latent + d_rope], written");
  module.def("gather", &run_gather, "kv_cache"_a.none(), "block_table"_a.none(),
             "cache_seqlens"_a.none(), "format"_a, "executor"_a.none() = nb::none(),
             "out"_a.none() = nb::none(),
             "Reads requests' tokens in order into one array [sum of cache_seqlens, h_kv, d_qk], "
             "made by kv_cache's framework where not given, and returns it.");
  module.def("convert", &run_convert, "from_array"_a.none(), "from_format"_a, "to_array"_a.none(),
             "to_format"_a, "executor"_a.none() = nb::none(),
             "Rewrites whole pages [num_pages, page_size, h_kv, d_qk] into another format.");
  module.def("copy_pages", &run_copy_pages, "copies"_a, "kv_cache"_a.none(), "format"_a,
             "executor"_a.none() = nb::none(),
             "Makes the copies that PageAllocator.extend asks for, in order.");
}

}  // namespace seesaw::python
