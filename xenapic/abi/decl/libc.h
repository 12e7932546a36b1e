/* The C library: <stdio.h>. */

void *open_memstream(char **text, size_t *bytes);
void rewind(void *stream);
int fclose(void *stream);
void free(void *memory);
