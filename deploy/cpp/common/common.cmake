# What both programs share, as the library mobileseg_common: header-only JSON and image decoding, nothing else.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Folders that hold nlohmann/json.hpp (3.11) and stb_image.h with stb_image_write.h. They are the same for every
# target, so they are not looked for in a cross compiler's own root.
find_path(JSON_INCLUDE nlohmann/json.hpp NO_CMAKE_FIND_ROOT_PATH)
find_path(STB_INCLUDE stb_image.h PATH_SUFFIXES stb NO_CMAKE_FIND_ROOT_PATH)
if(NOT JSON_INCLUDE)
  message(FATAL_ERROR "nlohmann/json.hpp was not found: install nlohmann-json3-dev (Debian), or unpack "
                      "https://github.com/nlohmann/json and give -DJSON_INCLUDE=its include folder")
endif()
if(NOT STB_INCLUDE)
  message(FATAL_ERROR "stb_image.h was not found: install libstb-dev (Debian), or unpack "
                      "https://github.com/nothings/stb and give -DSTB_INCLUDE=its folder")
endif()

set(MOBILESEG_COMMON_DIR ${CMAKE_CURRENT_LIST_DIR})
add_library(mobileseg_common STATIC
  ${MOBILESEG_COMMON_DIR}/container.cpp
  ${MOBILESEG_COMMON_DIR}/files.cpp
  ${MOBILESEG_COMMON_DIR}/grid.cpp
  ${MOBILESEG_COMMON_DIR}/image.cpp
  ${MOBILESEG_COMMON_DIR}/labelling.cpp
  ${MOBILESEG_COMMON_DIR}/manifest.cpp
  ${MOBILESEG_COMMON_DIR}/options.cpp
  ${MOBILESEG_COMMON_DIR}/preprocess.cpp
  ${MOBILESEG_COMMON_DIR}/sha256.cpp
  ${MOBILESEG_COMMON_DIR}/steps.cpp
  ${MOBILESEG_COMMON_DIR}/tensor.cpp)
target_include_directories(mobileseg_common PUBLIC ${MOBILESEG_COMMON_DIR})
target_include_directories(mobileseg_common SYSTEM PRIVATE ${JSON_INCLUDE} ${STB_INCLUDE})
# No fused multiply-add: preprocessing gives the same bits on every processor.
target_compile_options(mobileseg_common PRIVATE -ffp-contract=off)

option(MOBILESEG_STRICT "Many warnings, each an error" OFF)
function(mobileseg_warnings target)
  if(MOBILESEG_STRICT)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Werror)
  endif()
endfunction()
mobileseg_warnings(mobileseg_common)
