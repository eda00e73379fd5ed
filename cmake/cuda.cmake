# Looks for the CUDA toolkit and sets SEESAW_HAS_CUDA. Without it the CPU library is built alone;
# only SEESAW_CUDA=ON makes its absence an error.
set(SEESAW_HAS_CUDA FALSE)
if(NOT SEESAW_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SEESAW_CUDA: is \"${SEESAW_CUDA}\", must be AUTO, ON or OFF")
endif()

if(SEESAW_CUDA STREQUAL "OFF")
  message(STATUS "Seesaw: CUDA not used (SEESAW_CUDA=OFF)")
  return()
endif()

find_package(CUDAToolkit QUIET)
if(CUDAToolkit_FOUND AND TARGET CUDA::cudart_static)
  set(SEESAW_HAS_CUDA TRUE)
  message(STATUS "Seesaw: CUDA toolkit ${CUDAToolkit_VERSION} found in ${CUDAToolkit_BIN_DIR}; "
                 "the device probe is built, attention runs on the CPU")
elseif(SEESAW_CUDA STREQUAL "ON")
  message(FATAL_ERROR
    "Seesaw: SEESAW_CUDA=ON, but no CUDA toolkit (headers and static runtime) was found. Put nvcc "
    "on the PATH, set CUDAToolkit_ROOT to the toolkit's folder, or configure with "
    "-DSEESAW_CUDA=AUTO.")
else()
  message(STATUS "Seesaw: no CUDA toolkit found; the CPU library is built without it. To use one, "
                 "put nvcc on the PATH or set CUDAToolkit_ROOT.")
endif()
