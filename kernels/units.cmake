# What the kernels are made of, for the Python module and for the checks of tests/native:
# OPERATIONS, SHARED (no instruction set of their own) and UNITS (one file an instruction set).
#
# An operation needs no line here: a folder with a bind.cpp is found. Lines are for a unit that
# needs more flags than its instruction set has.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

set(KERNELS ${CMAKE_CURRENT_LIST_DIR})
set(OPTIONS -fvisibility=hidden -fno-math-errno -Wall -Wextra -Wno-psabi)

set(ISAS generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND ISAS avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  list(APPEND ISAS neon)
endif()

set(FLAGS_avx2 -mavx2 -mfma)
set(FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND FLAGS_avx512 -Wno-maybe-uninitialized -Wno-uninitialized)  # GCC 12 warns of its own intrinsics
endif()
# What a unit takes beyond its instruction set: it runs only where the CPU has it, see runtime/isa.h.
set(FLAGS_int2_matmul_avx512 -mavx512vnni)
set(FLAGS_int4_matmul_avx512 -mavx512vnni)
set(FLAGS_int8_2of4_matmul_avx512 -mavx512vnni)
set(FLAGS_int8_matmul_avx512 -mavx512vnni)
set(FLAGS_pq_matmul_avx512 -mavx512vnni -mavx512vbmi)
set(FLAGS_binary_matmul_neon -march=armv8.2-a+dotprod)
set(FLAGS_int2_matmul_neon -march=armv8.2-a+dotprod)
set(FLAGS_int4_matmul_neon -march=armv8.2-a+dotprod)
set(FLAGS_int8_2of4_matmul_neon -march=armv8.2-a+dotprod)
set(FLAGS_int8_matmul_neon -march=armv8.2-a+dotprod)
set(FLAGS_roofline_neon -march=armv8.2-a+dotprod)

file(GLOB SHARED CONFIGURE_DEPENDS
  ${KERNELS}/runtime/arena.cpp ${KERNELS}/runtime/integer.cpp ${KERNELS}/runtime/isa.cpp
  ${KERNELS}/runtime/patches.cpp ${KERNELS}/runtime/pool.cpp ${KERNELS}/*/drive.cpp)
file(GLOB BINDINGS RELATIVE ${KERNELS} CONFIGURE_DEPENDS ${KERNELS}/*/bind.cpp)
foreach(binding ${BINDINGS})
  get_filename_component(operation ${binding} DIRECTORY)
  list(APPEND OPERATIONS ${operation})
  # Quantized codes must not depend on a fused multiply-add; the float kernels want one.
  set(CONTRACT -ffp-contract=fast)
  if(operation MATCHES "^(int|binary|fake_quant|pq_matmul)")
    set(CONTRACT -ffp-contract=off)
  endif()
  foreach(isa ${ISAS})
    set(unit ${KERNELS}/${operation}/${isa}.cpp)
    set_source_files_properties(${unit} PROPERTIES COMPILE_OPTIONS
      "${CONTRACT};${FLAGS_${isa}};${FLAGS_${operation}_${isa}}")
    list(APPEND UNITS ${unit})
  endforeach()
endforeach()
