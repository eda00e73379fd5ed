# `cmake --install`: library, public headers, command line, and the files by which other projects
# find them: a CMake package (find_package(seesaw CONFIG) -> seesaw::seesaw) and seesaw.pc.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/seesaw)

install(TARGETS seesaw EXPORT seesawTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT seesawTargets NAMESPACE seesaw:: DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/seesaw
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET seesaw_cli)
  install(TARGETS seesaw_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/seesawConfig.cmake.in
  ${PROJECT_BINARY_DIR}/package/seesawConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0.0 a minor version may change the API, so only equal ones fit.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/seesawConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/seesawConfig.cmake
              ${PROJECT_BINARY_DIR}/package/seesawConfigVersion.cmake
  DESTINATION ${package_dir})

# What a program needs besides -lseesaw when the library is static: the threads' and C++'s own.
get_target_property(library_type seesaw TYPE)
set(pc_private_libs "")
if(library_type STREQUAL "STATIC_LIBRARY")
  set(pc_private_libs "-lstdc++ -lm ${CMAKE_THREAD_LIBS_INIT}")
  if(SEESAW_HAS_CUDA)
    string(APPEND pc_private_libs " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt")
  endif()
endif()
# The prefix is named relative to the file, so that `cmake --install --prefix` may move it.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/seesaw.pc.in ${PROJECT_BINARY_DIR}/package/seesaw.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/seesaw.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
