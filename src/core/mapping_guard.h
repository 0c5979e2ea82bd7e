// A file that shrinks while it is mapped makes a read past its new end raise SIGBUS, which would end the
// process. Inside a guarded mapping such a read finds zeros instead; whoever maps the file learns of the
// change from its size (ModelFile::check_unchanged). A SIGBUS from anywhere else goes where it went before.
#pragma once

#include <cstddef>

namespace turgo {

// `begin` and `size_bytes` as mmap() gave them. At most 1,024 mappings are guarded; more are left as they
// are.
void guard_mapping(const void* begin, size_t size_bytes);
// Before munmap().
void unguard_mapping(const void* begin);

}  // namespace turgo
