# One library a folder: annulus_module(ring SOURCES a.cc PUBLIC annulus::core PRIVATE xxhash INTERNAL b.h)
# INTERNAL lists headers that are no part of the API: they are not installed.

function(annulus_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                                           -Wnon-virtual-dtor $<$<BOOL:${ANNULUS_WERROR}>:-Werror>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # false alarms on std::string (GCC bug 105651)
  endif()
  if(ANNULUS_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${ANNULUS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${ANNULUS_SANITIZE})
  endif()
endfunction()

function(annulus_module name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE;INTERNAL" ${ARGN})
  add_library(annulus_${name} STATIC ${arg_SOURCES})
  add_library(annulus::${name} ALIAS annulus_${name})
  set_target_properties(annulus_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(annulus_${name} PUBLIC cxx_std_20)
  # Users write <annulus/ring/...>, whether this is installed or a part of their own build.
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include/annulus)
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/include/annulus/${name} SYMBOLIC)
  target_include_directories(annulus_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include> $<INSTALL_INTERFACE:include>)
  target_link_libraries(annulus_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  annulus_compile_options(annulus_${name})
  set_property(GLOBAL APPEND PROPERTY ANNULUS_MODULES ${name})
  list(TRANSFORM arg_INTERNAL PREPEND ${name}/)
  set_property(GLOBAL APPEND PROPERTY ANNULUS_INTERNAL_HEADERS ${arg_INTERNAL})
endfunction()
