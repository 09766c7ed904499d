/* Runs the fuzz target on files, without libFuzzer: to see a finding again, or under valgrind. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **names) {
    for (int i = 1; i < count; i++) {
        FILE *f = fopen(names[i], "rb");
        if (!f || fseek(f, 0, SEEK_END)) {
            fprintf(stderr, "%s cannot be read\n", names[i]);
            return 2;
        }
        const size_t size = (size_t)ftell(f);
        uint8_t *data = malloc(size + 1);
        rewind(f);
        if (!data || fread(data, 1, size, f) != size) return 2;
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        fclose(f);
    }
    printf("%d files\n", count - 1);
    return 0;
}
