/*
 * A boot sector for the emulated machine: reads what the host laid out on this disk into memory
 * and jumps to it the multiboot way. All thinking is done on the host, which writes sector 1:
 *
 *   entry address, multiboot information address, number of pieces, 0,
 *   then per piece: first sector, number of sectors (1-256), address, 0   (32 bits each)
 *
 * A boot loader of the usual size reads the same images several seconds slower in an emulator.
 * Built by:  as --32 loader.S -o loader.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary \
 *            -e start loader.o -o loader.bin
 */
        .code16
        .globl  start
start:  cli
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        inb     $0x92, %al              /* the A20 line, by the fast way */
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92
        lgdtl   gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $flat

        .code32
flat:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    %ax, %fs
        movw    %ax, %gs
        movl    $0x7c00, %esp
        movb    $2, %al                 /* no interrupts from the disk */
        movw    $0x3f6, %dx
        outb    %al, %dx

        movl    $table, %esi            /* the table first, by an entry of its own */
        call    read
        movl    $0x7e00, %ebp
        movl    8(%ebp), %ebx
        leal    16(%ebp), %esi
next:   call    read
        addl    $16, %esi
        decl    %ebx
        jnz     next

        movl    4(%ebp), %ebx
        movl    $0x2badb002, %eax
        jmp     *(%ebp)

/* Read the piece that %esi describes. */
read:   call    ready
        movw    $0x1f2, %dx
        movl    4(%esi), %eax
        outb    %al, %dx                /* 256 is written as 0 */
        movl    (%esi), %eax
        incw    %dx
        outb    %al, %dx
        incw    %dx
        shrl    $8, %eax
        outb    %al, %dx
        incw    %dx
        shrl    $8, %eax
        outb    %al, %dx
        incw    %dx
        shrl    $8, %eax
        orb     $0xe0, %al              /* first disk, linear addresses */
        outb    %al, %dx
        incw    %dx
        movb    $0x20, %al              /* READ SECTORS */
        outb    %al, %dx
        movl    8(%esi), %edi
        movl    4(%esi), %eax
sector: pushl   %eax
1:      call    ready
        testb   $8, %al                 /* data request */
        jz      1b
        movw    $0x1f0, %dx
        movl    $256, %ecx
        rep insw
        popl    %eax
        decl    %eax
        jnz     sector
        ret

ready:  movw    $0x1f7, %dx
2:      inb     %dx, %al
        testb   $0x80, %al
        jnz     2b
        ret

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9a000000ffff
        .quad   0x00cf92000000ffff
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
        .balign 4
table:  .long   1, 64, 0x7e00, 0

        .org    510
        .word   0xaa55
