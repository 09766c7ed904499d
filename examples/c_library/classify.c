/* Classifies an input: classify TICKET.ste FILE
 *
 * FILE holds the bytes of one input, [frame][channel][row][column], as the ticket's data set has
 * them. */
#include <spiketicket.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: %s TICKET.ste FILE\n", arguments[0]);
        return 2;
    }
    char error[256];
    st_model *model = st_open(arguments[1], ST_BEST, 0, error, sizeof error);
    if (!model) {
        fprintf(stderr, "%s: %s\n", arguments[1], error);
        return 2;
    }
    const size_t size = st_model_values(model);
    const uint32_t classes = st_model_shape(model).classes;
    uint8_t *x = malloc(size);
    float *logits = malloc(classes * sizeof *logits);
    FILE *file = fopen(arguments[2], "rb");
    int code = 2;
    if (!x || !logits || !file || fread(x, 1, size, file) != size) {
        fprintf(stderr, "%s: must hold the %zu bytes of an input\n", arguments[2], size);
    } else {
        const int64_t best = st_classify(model, x, logits, error, sizeof error);
        if (best < 0) {
            fprintf(stderr, "%s\n", error);
        } else {
            printf("%s", st_class_name(model, (uint32_t)best));
            for (uint32_t i = 0; i < classes; i++) printf(" %.9g", logits[i]);
            printf("\n");
            code = 0;
        }
    }
    if (file) fclose(file);
    free(logits);
    free(x);
    st_close(model);
    return code;
}
