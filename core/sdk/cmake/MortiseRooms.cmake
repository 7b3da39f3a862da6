# Build rules of the tree itself; plugin authors need MortiseAddPlugin.cmake only.

# Adds FOLDER iff it has a CMakeLists.txt.
macro(mortise_add_room_if_present folder)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
        add_subdirectory(${CMAKE_SOURCE_DIR}/${folder} ${CMAKE_BINARY_DIR}/${folder})
    endif()
endmacro()

# Adds each direct subfolder of SHELF that has a CMakeLists.txt, in byte order of the names.
function(mortise_add_every_folder shelf)
    file(GLOB lists CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${shelf}/*/CMakeLists.txt)
    list(SORT lists)
    foreach(list IN LISTS lists)
        get_filename_component(folder ${list} DIRECTORY)
        file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${folder})
        add_subdirectory(${folder} ${CMAKE_BINARY_DIR}/${relative})
    endforeach()
endfunction()

# A room of the core: static library mortise_NAME of every .cpp in the calling folder (one level, and one
# level of subfolders), include root core/. USES lists rooms (their public headers may be included),
# LINKS lists outside libraries, hidden from the room's users. EXCLUDE lists subfolders that are libraries
# of their own.
function(mortise_room name)
    cmake_parse_arguments(PARSE_ARGV 1 room "" "" "USES;LINKS;EXCLUDE")
    file(GLOB sources CONFIGURE_DEPENDS *.cpp */*.cpp)
    foreach(folder IN LISTS room_EXCLUDE)
        list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${folder}/")
    endforeach()
    if(sources)
        add_library(mortise_${name} STATIC ${sources})
        set(kind PUBLIC)
        target_link_libraries(mortise_${name} PRIVATE ${room_LINKS})
    else()
        add_library(mortise_${name} INTERFACE)
        set(kind INTERFACE)
    endif()
    target_include_directories(mortise_${name} ${kind} ${CMAKE_SOURCE_DIR}/core)
    foreach(used IN LISTS room_USES)
        target_link_libraries(mortise_${name} ${kind} mortise_${used})
    endforeach()
endfunction()

# The tests of one room: one executable test_NAME of every *_test.cpp in the calling folder; other .cpp
# files there are helpers and linked in. Each GoogleTest case is a CTest case.
function(mortise_tests name)
    cmake_parse_arguments(PARSE_ARGV 1 test "" "" "USES;LINKS;ENVIRONMENT")
    file(GLOB sources CONFIGURE_DEPENDS *.cpp)
    add_executable(test_${name} ${sources})
    foreach(used IN LISTS test_USES)
        target_link_libraries(test_${name} PRIVATE mortise_${used})
    endforeach()
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_compile_definitions(test_${name} PRIVATE MORTISE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                               MORTISE_BINARY_DIR="${CMAKE_BINARY_DIR}")
    target_link_libraries(test_${name} PRIVATE ${test_LINKS} GTest::gtest GTest::gmock GTest::gtest_main)
    gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 300 LABELS ${name} ENVIRONMENT "${test_ENVIRONMENT}")
endfunction()
