# XGrammar (structured output, Apache-2.0) as a static library `xgrammar` built from the sources of its PyPI package, with
# its own flags. Sets TURGO_HAS_XGRAMMAR; where the sources can not be had, the program says so when it is asked for a grammar.
set(TURGO_XGRAMMAR_DIR "" CACHE PATH "XGrammar's sources; empty: tools/fetch_xgrammar.py fetches them")
set(xgrammar_dir "${TURGO_XGRAMMAR_DIR}")
if(NOT xgrammar_dir)
  find_program(TURGO_PYTHON3 python3)
  execute_process(COMMAND ${TURGO_PYTHON3} ${PROJECT_SOURCE_DIR}/tools/fetch_xgrammar.py
    OUTPUT_VARIABLE xgrammar_dir OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE fetched)
endif()
set(TURGO_HAS_XGRAMMAR FALSE)
if(NOT EXISTS "${xgrammar_dir}/include/xgrammar/xgrammar.h")
  message(WARNING "no sources of XGrammar: this build can not constrain answers to schemas or grammars")
  return()
endif()
set(TURGO_HAS_XGRAMMAR TRUE)
file(GLOB_RECURSE xgrammar_sources ${xgrammar_dir}/cpp/*.cc)
add_library(xgrammar STATIC EXCLUDE_FROM_ALL ${xgrammar_sources})
target_include_directories(xgrammar SYSTEM PUBLIC ${xgrammar_dir}/include ${xgrammar_dir}/3rdparty/dlpack/include
  PRIVATE ${xgrammar_dir}/3rdparty/picojson)
target_compile_definitions(xgrammar PUBLIC XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0)
# Under sanitizers -O1 and not its own undefined behaviour: with that and -O2 it takes g++ 12 four times as long.
if(TURGO_SANITIZE)
  string(REPLACE ",undefined" "" sanitize "${TURGO_SANITIZE}")
  target_compile_options(xgrammar PRIVATE -w -O1 -fvisibility=hidden -fsanitize=${sanitize} -fno-omit-frame-pointer)
else()
  target_compile_options(xgrammar PRIVATE -w -O2 -fvisibility=hidden)
endif()
