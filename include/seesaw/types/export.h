// SEESAW_API marks what a shared libseesaw offers to its users; the rest stays inside it. C99 too.
#pragma once

#define SEESAW_API __attribute__((visibility("default")))
