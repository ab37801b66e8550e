# The worker as a program, and tests that compile their own subjects, so that the flags are known.
add_executable(symbol_worker symbol_worker.c)
target_link_libraries(symbol_worker PRIVATE room-symbols)

foreach(name symbols)
	daemon_test(${name} room-symbols)
	target_sources(${name}_test PRIVATE symbols_subject.c)
	add_dependencies(${name}_test symbol_worker)
	target_compile_definitions(${name}_test PRIVATE
		SYMBOLS_WORKER="$<TARGET_FILE:symbol_worker>"
		SYMBOLS_SOURCES="${PROJECT_SOURCE_DIR}/tests/targets"
		SYMBOLS_CC="${CMAKE_C_COMPILER}"
		SYMBOLS_CXX="c++")
endforeach()
