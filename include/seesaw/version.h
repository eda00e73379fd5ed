// The library's version; CMakeLists.txt reads it from here.
#pragma once

#define SEESAW_VERSION_MAJOR 0
#define SEESAW_VERSION_MINOR 1
#define SEESAW_VERSION_PATCH 0
#define SEESAW_VERSION "0.1.0"
