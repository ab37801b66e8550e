# The rooms profile and target, and what they need of base.
add_library(fake-segment STATIC ${CMAKE_CURRENT_SOURCE_DIR}/fake_segment.c)
target_include_directories(fake-segment PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/proto)
target_link_libraries(fake-segment PUBLIC m)

daemon_test(reader room-target fake-segment)
daemon_test(targets room-target fake-segment)

add_library(pprof-check STATIC ${CMAKE_CURRENT_SOURCE_DIR}/pprof_check.c)
target_include_directories(pprof-check PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(pprof-check PUBLIC profile-proto room-base)
add_executable(pprof_check ${CMAKE_CURRENT_SOURCE_DIR}/pprof_check_file.c)
target_link_libraries(pprof_check PRIVATE pprof-check)

add_library(fake-snapshot STATIC ${CMAKE_CURRENT_SOURCE_DIR}/fake_snapshot.c)
target_link_libraries(fake-snapshot PUBLIC fake-segment room-target)
daemon_test(snapshot fake-snapshot)
daemon_test(profile fake-snapshot)
daemon_test(pprof fake-snapshot pprof-check)
daemon_test(forms fake-snapshot)

# Its linker flags send allocations of the rooms through the test.
daemon_test(memory fake-segment room-target)
foreach(name malloc calloc realloc strdup strndup asprintf)
	target_link_options(memory_test PRIVATE -Wl,--wrap=${name})
endforeach()
