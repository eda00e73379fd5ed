# Run by ctest; tests/package/CMakeLists.txt names the variables. Static: installs the build tree
# that is there. Shared: builds the library alone anew, with BUILD_SHARED_LIBS.
cmake_minimum_required(VERSION 3.25)
set(prefix ${work_dir}/prefix)
set(library_build_dir ${build_dir})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    list(JOIN ARGV " " call)
    message(FATAL_ERROR "${call}\nfailed with ${status}:\n${text}")
  endif()
  set(output "${text}" PARENT_SCOPE)
endfunction()

# A program of the examples must print what it promises.
function(run_example)
  run(${ARGV})
  if(NOT output MATCHES "out\\[0\\] = 0\\.50")
    message(FATAL_ERROR "${ARGV} printed\n${output}\ninstead of out[0] = 0.50")
  endif()
  message(STATUS "${ARGV}: as promised")
endfunction()

file(REMOVE_RECURSE ${prefix} ${work_dir}/moved)
set(toolchain -G ${generator} -DCMAKE_C_COMPILER=${c_compiler} -DCMAKE_CXX_COMPILER=${cxx_compiler})
if(launcher)
  list(APPEND toolchain -DCMAKE_C_COMPILER_LAUNCHER=${launcher} -DCMAKE_CXX_COMPILER_LAUNCHER=${launcher})
endif()

if(kind STREQUAL "shared")
  set(library_build_dir ${work_dir}/library)
  run(${CMAKE_COMMAND} -S ${source_dir} -B ${library_build_dir} ${toolchain}
      -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DSEESAW_CUDA=${cuda}
      -DSEESAW_BUILD_APPLICATION=OFF -DSEESAW_BUILD_TESTS=OFF -DSEESAW_BUILD_BENCHMARKS=OFF)
  run(${CMAKE_COMMAND} --build ${library_build_dir})
endif()
run(${CMAKE_COMMAND} --install ${library_build_dir} --prefix ${prefix})
# The package must not depend on the place it was installed to.
file(RENAME ${prefix} ${work_dir}/moved)
set(prefix ${work_dir}/moved)

# What a stranger finds: the headers, one library of the kind asked for, no path of the build.
file(GLOB_RECURSE libraries RELATIVE ${prefix} ${prefix}/*libseesaw*)
if(kind STREQUAL "static" AND NOT libraries MATCHES "libseesaw\\.a$")
  message(FATAL_ERROR "installed libraries: is ${libraries}, must be libseesaw.a")
elseif(kind STREQUAL "shared" AND NOT libraries MATCHES "libseesaw\\.so")
  message(FATAL_ERROR "installed libraries: is ${libraries}, must hold libseesaw.so")
endif()
file(GLOB_RECURSE package_files ${prefix}/*.cmake ${prefix}/*.pc)
foreach(file IN LISTS package_files)
  file(READ ${file} text)
  if(text MATCHES "${source_dir}|${build_dir}")
    message(FATAL_ERROR "${file} names a path of the machine it was built on")
  endif()
endforeach()

# CMake projects: one of C++ and C, one of C alone.
foreach(languages "C;CXX" "C")
  list(JOIN languages "_" name)
  set(project_build_dir ${work_dir}/project_${name})
  file(REMOVE_RECURSE ${project_build_dir})
  run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${project_build_dir} ${toolchain}
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${prefix} "-DLANGUAGES=${languages}"
      -DEXAMPLES=${source_dir}/examples -DVERSION=${version})
  run(${CMAKE_COMMAND} --build ${project_build_dir})
  run_example(${project_build_dir}/decode_c99)
  if("CXX" IN_LIST languages)
    run_example(${project_build_dir}/decode)
  endif()
endforeach()

# pkg-config, from a C99 program.
if(NOT pkg_config)
  message(STATUS "pkg-config is not there: seesaw.pc not tried")
  return()
endif()
file(GLOB_RECURSE pc_file ${prefix}/*seesaw.pc)
cmake_path(GET pc_file PARENT_PATH pc_dir)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
run(${pkg_config} --modversion seesaw)
string(STRIP "${output}" found_version)
if(NOT found_version STREQUAL version)
  message(FATAL_ERROR "seesaw.pc: version is ${found_version}, must be ${version}")
endif()
set(static_flag "")
if(kind STREQUAL "static")
  set(static_flag --static)
endif()
run(${pkg_config} ${static_flag} --cflags --libs seesaw)
separate_arguments(flags UNIX_COMMAND "${output}")
run(${c_compiler} -std=c99 -pedantic-errors -Wall -Wextra -Werror
    ${source_dir}/examples/decode_c99.c -o ${work_dir}/decode_pkg_config ${flags})
if(kind STREQUAL "shared")
  run(${pkg_config} --variable=libdir seesaw)
  string(STRIP "${output}" library_dir)
  set(ENV{LD_LIBRARY_PATH} ${library_dir})
endif()
run_example(${work_dir}/decode_pkg_config)
