# The parts of base that the command line stands on, and the room http over real sockets.
foreach(name base_text json number options)
	daemon_test(${name} room-base)
endforeach()
daemon_test(request room-http)
daemon_test(cache room-http)
daemon_test(connections room-http)
daemon_test(guard room-http)
daemon_test(tls room-http)
daemon_test(ranking room-http)
daemon_test(program room-cli)
daemon_test(manual room-cli)
daemon_test(ended room-cli fake-segment)
target_compile_definitions(manual_test PRIVATE MANUAL="${PROJECT_SOURCE_DIR}/deploy/heapd.1")

# The server asks a symbol worker for names.
daemon_test(http room-http fake-segment)
add_dependencies(http_test symbol_worker)
target_compile_definitions(http_test PRIVATE SYMBOLS_WORKER="$<TARGET_FILE:symbol_worker>")

# From segments to answers, without sockets.
daemon_test(hostile room-http fake-segment pprof-check)
add_dependencies(hostile_test symbol_worker)
target_compile_definitions(hostile_test PRIVATE SYMBOLS_WORKER="$<TARGET_FILE:symbol_worker>")
