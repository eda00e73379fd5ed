// The whole public C++ API.
#pragma once

#include "seesaw/attention.h"
#include "seesaw/device.h"
#include "seesaw/executor.h"
#include "seesaw/kv_cache.h"
#include "seesaw/page_allocator.h"
#include "seesaw/plan.h"
#include "seesaw/registry.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/types/device_spec.h"
#include "seesaw/types/dtype.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/page_copy.h"
#include "seesaw/types/status.h"
#include "seesaw/types/tensor_view.h"
#include "seesaw/types/work_plan.h"
#include "seesaw/version.h"
