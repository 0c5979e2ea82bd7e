# gRPC (optional: -DTURGO_GRPC=ON; Debian: libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc). Makes the
# static library turgo_proto from proto/**/*.proto, with its headers as system headers: generated code follows rules of its own.
find_package(PkgConfig REQUIRED)
pkg_check_modules(TURGO_GRPC_LIBS REQUIRED IMPORTED_TARGET grpc++ protobuf)
find_library(TURGO_GRPC_REFLECTION grpc++_reflection REQUIRED)
find_program(TURGO_PROTOC protoc REQUIRED)
find_program(TURGO_PROTOC_GRPC grpc_cpp_plugin REQUIRED)

set(proto_root ${PROJECT_SOURCE_DIR}/proto)
set(proto_out ${PROJECT_BINARY_DIR}/proto)
file(GLOB_RECURSE proto_files CONFIGURE_DEPENDS ${proto_root}/*.proto)
set(proto_sources "")
foreach(file ${proto_files})
  file(RELATIVE_PATH stem ${proto_root} ${file})
  string(REGEX REPLACE "\\.proto$" "" stem ${stem})
  set(made ${proto_out}/${stem}.pb.cc ${proto_out}/${stem}.pb.h ${proto_out}/${stem}.grpc.pb.cc ${proto_out}/${stem}.grpc.pb.h)
  add_custom_command(OUTPUT ${made}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${proto_out}
    COMMAND ${TURGO_PROTOC} -I ${proto_root} --cpp_out=${proto_out} --grpc_out=${proto_out}
      --plugin=protoc-gen-grpc=${TURGO_PROTOC_GRPC} ${file}
    DEPENDS ${file} COMMENT "protoc ${stem}.proto")
  list(APPEND proto_sources ${made})
endforeach()
add_library(turgo_proto STATIC ${proto_sources})
target_include_directories(turgo_proto SYSTEM PUBLIC ${proto_out})
target_compile_options(turgo_proto PRIVATE -w)
target_link_libraries(turgo_proto PUBLIC ${TURGO_GRPC_REFLECTION} PkgConfig::TURGO_GRPC_LIBS)
