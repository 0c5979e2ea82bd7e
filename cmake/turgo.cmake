# Build helpers: warnings, sanitizers, and one function per kind of target.
#
#   turgo_layer(NAME DEPS lib...)   static library turgo_NAME from src/NAME/**/*.cpp. By suffix, files become
#                                   something else: *_test.cpp -> turgo_NAME_test (ctest), *_bench.cpp ->
#                                   turgo_NAME_bench, *_fuzz.cpp -> one replay test and one libFuzzer target each.

if(TURGO_KERNELS_ONLY)  # they need no library, and of core/ what has no dependency; a test's cache has its memory
  add_library(fmt::fmt INTERFACE IMPORTED)
  add_library(turgo_core INTERFACE)
  target_sources(turgo_core INTERFACE ${PROJECT_SOURCE_DIR}/src/core/reserved_memory.cpp)
else()
  find_package(fmt REQUIRED)
endif()
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(turgo_flags INTERFACE)
target_compile_options(turgo_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -ffp-contract=off -fno-math-errno -fstack-protector-strong -fvisibility=hidden)
target_compile_definitions(turgo_flags INTERFACE _GLIBCXX_ASSERTIONS TURGO_VERSION="${PROJECT_VERSION}")
target_include_directories(turgo_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(TURGO_SANITIZE)
  target_compile_options(turgo_flags INTERFACE -fsanitize=${TURGO_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(turgo_flags INTERFACE -fsanitize=${TURGO_SANITIZE})
  # g++ 12 takes Asio's coroutine frames (class-wide operator new, inlined or not by turns) for mismatched pairs;
  # AddressSanitizer itself checks every pair when it runs.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(turgo_flags INTERFACE -Wno-mismatched-new-delete)
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's own std::stable_sort uses a function that it marks deprecated.
  target_compile_options(turgo_flags INTERFACE -Wno-unused-command-line-argument -Wno-deprecated-declarations)
endif()
if(TURGO_FUZZ)
  target_compile_options(turgo_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(TURGO_TESTS)
  enable_testing()
  include(GoogleTest)
  if(TURGO_KERNELS_ONLY)
    add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)  # libgtest-dev has the sources
  else()
    find_package(GTest REQUIRED)
    if(NOT TURGO_SANITIZE)
      find_package(benchmark REQUIRED)
    endif()
  endif()
endif()

# turgo_portable: for what leaves this machine. Debian's fmt is a shared library only; its implementation is compiled in,
# and the library, which then nothing needs, is left out. Only for the release that fmt_static.cpp was written for.
add_library(turgo_portable INTERFACE)
if(fmt_VERSION VERSION_GREATER_EQUAL 9 AND fmt_VERSION VERSION_LESS 10)
  add_library(turgo_fmt OBJECT ${PROJECT_SOURCE_DIR}/cmake/fmt_static.cpp)
  target_link_libraries(turgo_fmt PRIVATE turgo_flags)
  target_link_libraries(turgo_portable INTERFACE turgo_fmt $<TARGET_OBJECTS:turgo_fmt>)
  target_link_options(turgo_portable INTERFACE -Wl,--as-needed)
endif()

function(turgo_layer name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  set(tests ${sources})
  set(benches ${sources})
  set(fuzzers ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")

  if(sources)
    add_library(turgo_${name} STATIC ${sources})
    target_link_libraries(turgo_${name} PUBLIC turgo_flags fmt::fmt Threads::Threads ${ARG_DEPS})
  else()
    add_library(turgo_${name} INTERFACE)
    target_link_libraries(turgo_${name} INTERFACE turgo_flags fmt::fmt Threads::Threads ${ARG_DEPS})
  endif()

  if(TURGO_TESTS AND tests)
    add_executable(turgo_${name}_test ${tests})
    target_link_libraries(turgo_${name}_test PRIVATE turgo_${name} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_definitions(turgo_${name}_test PRIVATE TURGO_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    gtest_discover_tests(turgo_${name}_test DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES TEST_PREFIX "${name}." PROPERTIES LABELS unit TIMEOUT 600)
  endif()
  if(TURGO_TESTS AND benches AND NOT TURGO_KERNELS_ONLY AND NOT TURGO_SANITIZE)
    add_executable(turgo_${name}_bench ${benches})
    target_link_libraries(turgo_${name}_bench PRIVATE turgo_${name} benchmark::benchmark benchmark::benchmark_main)
    target_compile_definitions(turgo_${name}_bench PRIVATE TURGO_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  endif()
  foreach(fuzzer ${fuzzers})
    turgo_fuzzer(${name} ${fuzzer})
  endforeach()
endfunction()

# X_fuzz.cpp defines LLVMFuzzerTestOneInput. Its seed corpus is tests/fuzz/X/; every file there is replayed by ctest.
function(turgo_fuzzer layer source)
  get_filename_component(stem ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" stem ${stem})
  if(TURGO_TESTS)
    add_executable(replay_${stem} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cpp)
    target_link_libraries(replay_${stem} PRIVATE turgo_${layer})
    add_test(NAME fuzz_replay.${stem} COMMAND replay_${stem} ${PROJECT_SOURCE_DIR}/tests/fuzz/${stem})
    set_tests_properties(fuzz_replay.${stem} PROPERTIES LABELS fuzz TIMEOUT 600)
  endif()
  if(TURGO_FUZZ)
    add_executable(fuzz_${stem} ${source})
    target_link_libraries(fuzz_${stem} PRIVATE turgo_${layer})
    target_link_options(fuzz_${stem} PRIVATE -fsanitize=fuzzer)
    if(NOT TARGET fuzzers)
      add_custom_target(fuzzers)  # `./run fuzz` builds these and not the program
    endif()
    add_dependencies(fuzzers fuzz_${stem})
  endif()
endfunction()
