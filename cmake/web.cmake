# turgo_embed_web(TARGET): the page of web/ as bytes inside TARGET (serve/web/web_files.h says in what form).
# Run as a script (-DWEB=… -DOUT=… -P) it writes that source file. Each file is kept plain and gzip'ed; its ETag is
# the start of its SHA-256.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  function(turgo_embed_web target)
    file(GLOB_RECURSE files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/web/*)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/web_files.cpp)
    add_custom_command(OUTPUT ${out}
      COMMAND ${CMAKE_COMMAND} -DWEB=${PROJECT_SOURCE_DIR}/web -DOUT=${out} -P ${PROJECT_SOURCE_DIR}/cmake/web.cmake
      DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/web.cmake VERBATIM)
    target_sources(${target} PRIVATE ${out})
  endfunction()
  return()
endif()

function(to_array hex out)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," array "${hex}")
  set(${out} "${array}" PARENT_SCOPE)
endfunction()

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_webmanifest "application/manifest+json")

file(GLOB_RECURSE files RELATIVE ${WEB} ${WEB}/*)
list(SORT files)
set(arrays "")
set(table "")
set(index 0)
foreach(name ${files})
  get_filename_component(suffix ${name} LAST_EXT)
  string(SUBSTRING ${suffix} 1 -1 suffix)
  if(NOT DEFINED type_${suffix})
    message(FATAL_ERROR "web/${name}: cmake/web.cmake knows no content type for .${suffix}")
  endif()
  file(READ ${WEB}/${name} hex HEX)
  file(SHA256 ${WEB}/${name} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  file(ARCHIVE_CREATE OUTPUT ${OUT}.gz PATHS ${WEB}/${name} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
  file(READ ${OUT}.gz packed HEX)
  string(SUBSTRING "${packed}" 0 8 head)  # bytes 4 to 7 are a time: without it every build has the same bytes
  string(SUBSTRING "${packed}" 16 -1 tail)
  to_array("${hex}" plain)
  to_array("${head}00000000${tail}" packed)
  string(APPEND arrays "constexpr char kPlain${index}[] = {${plain}};\nconstexpr char kPacked${index}[] = {${packed}};\n")
  string(APPEND table "    {\"${name}\", \"${type_${suffix}}\", \"\\\"${hash}\\\"\", {kPlain${index}, sizeof kPlain${index}}, {kPacked${index}, sizeof kPacked${index}}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(REMOVE ${OUT}.gz)
file(WRITE ${OUT} "// Made from web/ by cmake/web.cmake.
#include \"serve/web/web_files.h\"

namespace turgo {
namespace {
${arrays}
constexpr WebFile kFiles[] = {
${table}};
}  // namespace

std::span<const WebFile> web_files() { return kFiles; }

}  // namespace turgo
")
