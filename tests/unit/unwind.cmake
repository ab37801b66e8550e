# The unwinder: rows from hand-made tables, and walks held against libunwind's (libgcc's where there is none) through
# frames built at several levels.
enable_language(CXX)
find_package(Threads REQUIRED)
find_library(LIBUNWIND unwind)
find_path(LIBUNWIND_INCLUDE libunwind.h)

sampler_test(cfi cfi.c cfi_program.c)
set(walk unwind.c cfi.c cfi_program.c modules.c frames.c pages.c)
sampler_test(unwind ${walk})
sampler_test(unwind_code ${walk})

# The same with a table of four rows, where every thread is in every other's way.
list(TRANSFORM walk PREPEND ${PROJECT_SOURCE_DIR}/sampler/)
add_executable(unwind_crowd_test unwind_code_test.c ${walk})
target_include_directories(unwind_crowd_test PRIVATE ${PROJECT_SOURCE_DIR}/sampler ${PROJECT_SOURCE_DIR}/proto)
target_compile_definitions(unwind_crowd_test PRIVATE ROWS_FIRST=4 ROWS_MAX=4)
add_test(NAME unwind_crowd COMMAND unwind_crowd_test)

add_executable(unwind_old_test unwind_old_test.c ${walk})
target_include_directories(unwind_old_test PRIVATE ${PROJECT_SOURCE_DIR}/sampler ${PROJECT_SOURCE_DIR}/proto)
target_compile_definitions(unwind_old_test PRIVATE _dl_find_object=_dl_find_object_of_no_libc)
add_test(NAME unwind_old COMMAND unwind_old_test)

foreach(name unwind unwind_code unwind_crowd unwind_old)
	target_link_options(${name}_test PRIVATE -Wl,--build-id)
	target_link_libraries(${name}_test PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
	if(LIBUNWIND AND LIBUNWIND_INCLUDE)
		target_compile_definitions(${name}_test PRIVATE HAVE_LIBUNWIND)
		target_include_directories(${name}_test PRIVATE ${LIBUNWIND_INCLUDE})
		target_link_libraries(${name}_test PRIVATE ${LIBUNWIND})
	endif()
endforeach()

# Segments far from each other, as the loader describes them one at a time.
target_link_options(unwind_code_test PRIVATE -no-pie -Wl,-z,max-page-size=0x200000)

foreach(shape "c O0 -O0" "c O2 -O2" "c O3 -O3 -fomit-frame-pointer" "c Os -Os" "cc cxx_O2 -O2"
	"cc cxx_O3 -O3 -fomit-frame-pointer")
	separate_arguments(shape)
	list(POP_FRONT shape language name)
	add_library(unwind_shapes_${name} OBJECT unwind_shapes.${language})
	target_compile_definitions(unwind_shapes_${name} PRIVATE SHAPES=shapes_${name})
	target_compile_options(unwind_shapes_${name} PRIVATE ${shape})
	target_sources(unwind_test PRIVATE $<TARGET_OBJECTS:unwind_shapes_${name}>)
endforeach()
set_target_properties(unwind_test PROPERTIES LINKER_LANGUAGE CXX)

foreach(plugin 1 2)
	add_library(unwind_plugin_${plugin} MODULE unwind_plugin.c)
	set_target_properties(unwind_plugin_${plugin} PROPERTIES PREFIX "")
	target_compile_definitions(unwind_plugin_${plugin} PRIVATE PLUGIN=${plugin})
	target_link_options(unwind_plugin_${plugin} PRIVATE -Wl,--build-id)
	add_dependencies(unwind_code_test unwind_plugin_${plugin})
	add_dependencies(unwind_crowd_test unwind_plugin_${plugin})
endforeach()
