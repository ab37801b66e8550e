# The worker as a program, one that misbehaves, and tests that compile their own subjects, so that the flags are known.
foreach(name symbol_worker bad_worker)
	add_executable(${name} ${name}.c)
	target_link_libraries(${name} PRIVATE room-symbols)
endforeach()

foreach(name symbols worker bad_files)
	daemon_test(${name} room-symbols)
	target_sources(${name}_test PRIVATE symbols_subject.c)
	add_dependencies(${name}_test symbol_worker bad_worker)
	target_compile_definitions(${name}_test PRIVATE
		SYMBOLS_WORKER="$<TARGET_FILE:symbol_worker>"
		SYMBOLS_BAD_WORKER="$<TARGET_FILE:bad_worker>"
		SYMBOLS_SOURCES="${PROJECT_SOURCE_DIR}/tests/targets"
		SYMBOLS_CC="${CMAKE_C_COMPILER}"
		SYMBOLS_CXX="c++")
endforeach()

foreach(name demangle perfmap symbol_cache target_files)
	daemon_test(${name} room-symbols)
endforeach()
