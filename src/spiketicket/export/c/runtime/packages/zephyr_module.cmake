# @NAME@, a spiking network, as a module of Zephyr: CONFIG_@UPPER@=y
if(CONFIG_@UPPER@)
  zephyr_library_named(@NAME@)
  zephyr_library_sources(src/@NAME@.c)
  zephyr_library_compile_options(-O3 -ffp-contract=off)
  zephyr_include_directories(include)
endif()
