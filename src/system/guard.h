// The optional look at the data itself (DataCheck::kVerify): is every entry that a launch would
// follow inside the arrays it was given? The first that is not is reported, none is followed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "seesaw/attention.h"
#include "seesaw/types/status.h"
#include "seesaw/types/work_plan.h"

namespace seesaw {

/// Whether a plan could have come from plan(): items, slots and offsets within what the problem,
/// the lengths and the workspace allow, and as many query rows written as there are. For plans that
/// were kept, copied or edited as the plain data that they are. Time is O(items). Errors:
/// kInvalidArgument, naming the field.
Status verify_plan(const WorkPlan& plan);

/// The same for a CUDA plan, by verify_plan.
Status verify_groups(const WorkPlan& plan);

/// For both: `count` pieces of `stride` bytes from `offset` on lie within the workspace; `name` is
/// the offset's field.
Status verify_region(const WorkPlan& plan, const char* name, std::size_t offset, std::size_t stride,
                     std::int64_t count);

/// Reads block_table for the pages that the planned lengths use, or indices and top_k_lengths; of
/// requests without query tokens nothing. Views have been validated. Time is O(entries used).
/// Errors: kCorruptData with the entry's coordinates, e.g. "block_table[3, 7]: is 812, ...".
Status verify_data(const WorkPlan& plan, const CacheArgs& cache);

}  // namespace seesaw
