# Decides whether the GPU part is built and sets SEESAW_HAS_CUDA: it takes nvcc of CUDA 12.8 or newer
# and the headers of CUTLASS. Without them the CPU library is built alone and the message says what
# was missing; only SEESAW_CUDA=ON makes that an error.
set(SEESAW_HAS_CUDA FALSE)
set(SEESAW_LEAST_CUDA 12.8)
if(NOT SEESAW_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SEESAW_CUDA: is \"${SEESAW_CUDA}\", must be AUTO, ON or OFF")
endif()
if(SEESAW_CUDA STREQUAL "OFF")
  message(STATUS "Seesaw: the GPU part is left out (SEESAW_CUDA=OFF)")
  return()
endif()

# Returns from this file's caller: `what` is missing, `remedy` says how to have it.
macro(seesaw_leave_out_cuda what remedy)
  if(SEESAW_CUDA STREQUAL "ON")
    message(FATAL_ERROR "Seesaw: SEESAW_CUDA=ON, but ${what}. ${remedy}, or configure with "
                        "-DSEESAW_CUDA=AUTO.")
  endif()
  message(STATUS "Seesaw: the GPU part is left out: ${what}. ${remedy}.")
  return()
endmacro()

find_package(CUDAToolkit QUIET)
if(NOT CUDAToolkit_FOUND OR NOT TARGET CUDA::cudart_static)
  seesaw_leave_out_cuda("no CUDA toolkit (headers and static runtime) was found"
    "Put nvcc on the PATH or set CUDAToolkit_ROOT to the toolkit's folder")
endif()
if(CUDAToolkit_VERSION VERSION_LESS SEESAW_LEAST_CUDA)
  seesaw_leave_out_cuda("CUDA is ${CUDAToolkit_VERSION}, must be ${SEESAW_LEAST_CUDA} or newer"
    "Put a newer nvcc on the PATH or set CUDAToolkit_ROOT")
endif()

# No architecture by default: each source file says what it is compiled for.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES OFF)
endif()
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND CUDAToolkit_NVCC_EXECUTABLE)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  seesaw_leave_out_cuda("nvcc does not work with the host compiler ${CMAKE_CXX_COMPILER}"
    "Set CMAKE_CUDA_HOST_COMPILER to one that it takes (CMakeFiles/CMakeError.log has its words)")
endif()
enable_language(CUDA)
# CMake before 3.26 does not know that nvcc has had C++20 since CUDA 12.0.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)

# CUTLASS: an installed one, a folder that is named, or the pinned one from PyPI.
find_package(NvidiaCutlass CONFIG QUIET)
if(TARGET nvidia::cutlass::cutlass)
  get_target_property(found nvidia::cutlass::cutlass INTERFACE_INCLUDE_DIRECTORIES)
  set(CUTLASS_INCLUDE_DIR "${found}" CACHE PATH "CUTLASS headers")
else()
  find_path(CUTLASS_INCLUDE_DIR cutlass/cutlass.h DOC "CUTLASS headers")
endif()
if(NOT CUTLASS_INCLUDE_DIR)
  message(STATUS "Seesaw: fetching CUTLASS's headers (tools/fetch_cutlass.sh)")
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/fetch_cutlass.sh
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE cutlass_error
    RESULT_VARIABLE cutlass_status)
  if(NOT cutlass_status EQUAL 0)
    seesaw_leave_out_cuda("CUTLASS's headers could not be fetched (${cutlass_error})"
      "Set CUTLASS_INCLUDE_DIR to a CUTLASS 4 include folder")
  endif()
  set(CUTLASS_INCLUDE_DIR "${found}" CACHE PATH "CUTLASS headers" FORCE)
endif()

set(SEESAW_HAS_CUDA TRUE)
message(STATUS "Seesaw: the GPU part is built with CUDA ${CUDAToolkit_VERSION} "
               "(${CMAKE_CUDA_COMPILER}) and CUTLASS in ${CUTLASS_INCLUDE_DIR}")

# seesaw_cuda_sources(SM90A|SM80 file...): adds CUDA sources to the library.
#   SM90A  machine code of sm_90a, for what only Hopper has: no other device runs it
#   SM80   machine code of sm_90, and PTX of sm_80 that the driver compiles for any newer device
# What ptxas says of each (registers, spills, warnings) is kept beside the object as FILE.o.ptxas.
#
# --generate-code, not -gencode: ccache 4.7 takes what begins with -g and does not end with 0 for debug
# information, and an object with that for another one in each build folder.
function(seesaw_cuda_sources architecture)
  if(architecture STREQUAL "SM90A")
    set(flags --generate-code=arch=compute_90a,code=sm_90a)
  elseif(architecture STREQUAL "SM80")
    set(flags --generate-code=arch=compute_90,code=sm_90
              --generate-code=arch=compute_80,code=compute_80)
  else()
    message(FATAL_ERROR "seesaw_cuda_sources: is ${architecture}, must be SM90A or SM80")
  endif()
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
  target_sources(seesaw PRIVATE ${files})
  set_property(SOURCE ${files} TARGET_DIRECTORY seesaw APPEND PROPERTY COMPILE_OPTIONS
    ${flags} --expt-relaxed-constexpr -Xptxas=-v
    -diag-suppress=2810)  # nvcc takes the assignment of a [[nodiscard]] class for a discarded one
endfunction()
