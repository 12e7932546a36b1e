/*
 * The probe guest: carries out a list of accesses that dom0 wrote into its memory, and writes down what
 * each cost, what it returned and whether it faulted. All thinking is done in dom0 (probe/plan.py says
 * what is accessed, probe/mailbox.py how the list is laid out).
 *
 * Starts at its first byte in flat 32-bit protected mode, with paging on and memory mapped one to one,
 * interrupts off, and the address of the list in %ebx. It owns GUEST_BYTES from where it is loaded.
 *
 * Built by:  as --32 probe.S -o probe.o && ld -m elf_i386 -Ttext 0x100000 --oformat binary \
 *            -e start probe.o -o probe.bin
 */
        .equ    LOADED, 0x100000
        .equ    IDT, LOADED + 0x2000            /* 256 gates of 8 bytes */
        .equ    COUNTS, LOADED + 0x2800         /* 256 counters of 4 bytes: interrupts by vector */
        .equ    STACK_TOP, LOADED + 0x4000

        /* the head of the list */
        .equ    STATE, 0
        .equ    COUNT, 4
        .equ    PROGRESS, 8
        .equ    PATIENCE, 12
        .equ    EOI_KIND, 16
        .equ    EOI_ADDRESS, 20
        .equ    BROKEN_VECTOR, 24
        .equ    BROKEN_STACK, 28
        .equ    HEAD_BYTES, 64

        /* one command */
        .equ    KIND, 0
        .equ    REPEAT, 1
        .equ    WAIT_FOR, 2
        .equ    ADDRESS, 4
        .equ    LOW, 8
        .equ    HIGH, 12
        /* and what came of it */
        .equ    EAX, 16
        .equ    EBX, 20
        .equ    ECX, 24
        .equ    EDX, 28
        .equ    FAULT, 32
        .equ    ERROR, 36
        .equ    ARRIVALS, 40
        .equ    WAITED, 44
        .equ    TICKS, 48                       /* 8 of 4 bytes */
        .equ    COMMAND_BYTES, 80

        .equ    RUNNING, 1
        .equ    DONE, 2
        .equ    BROKEN, 3
        .equ    WITH_ERROR, 0x60227d00          /* exceptions 8 10-14 17 21 29 30 push an error code */
        .equ    FAULTED, 0x100

        .code32
        .globl  start
start:  cli
        cld
        movl    $STACK_TOP, %esp
        movl    %ebx, list
        lgdt    gdtr
        ljmp    $8, $flat
flat:   movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss

        movl    $IDT, %edi
        movl    $stubs, %esi
        movl    $256, %ecx
gate:   movzwl  %si, %eax
        orl     $0x80000, %eax
        stosl
        movl    %esi, %eax
        andl    $0xffff0000, %eax
        orl     $0x8e00, %eax                   /* present, interrupt gate */
        stosl
        addl    $8, %esi
        loop    gate
        lidt    idtr

        leal    HEAD_BYTES(%ebx), %eax
        movl    %eax, command
        movl    $RUNNING, STATE(%ebx)

next:   movl    list, %ebx
        movl    PROGRESS(%ebx), %eax
        cmpl    COUNT(%ebx), %eax
        jae     finish
        movl    $0, tries
        movl    command, %ebp
        movzbl  WAIT_FOR(%ebp), %eax
        movl    $0, COUNTS(,%eax,4)

again:  movl    command, %ebp
        movzbl  KIND(%ebp), %eax
        movl    ADDRESS(%ebp), %ecx
        movl    LOW(%ebp), %edi
        movl    HIGH(%ebp), %esi
        movl    $1, armed
        jmp     *kinds(,%eax,4)

        /* LFENCE, so that the clock is read after what stands before it. */
        .macro  timed   name, access:vararg
\name:  lfence
        rdtsc
        movl    %eax, %ebp
        movl    %edi, %eax
        movl    %esi, %edx
        \access
        jmp     ended
        .endm

        timed   nothing
        timed   load, movl (%ecx), %eax
        timed   store, movl %eax, (%ecx)
        timed   readmsr, rdmsr
        timed   writemsr, wrmsr
        timed   identify, cpuid

ended:  movl    %eax, %edi
        movl    %edx, %esi
        lfence
        rdtsc
        subl    %ebp, %eax
        movl    $0, armed
        movl    command, %ebp
        movl    %edi, EAX(%ebp)
        movl    %ebx, EBX(%ebp)
        movl    %ecx, ECX(%ebp)
        movl    %esi, EDX(%ebp)
        movl    tries, %edx
        movl    %eax, TICKS(%ebp,%edx,4)
        incl    %edx
        movl    %edx, tries
        cmpb    %dl, REPEAT(%ebp)
        jne     again

        movzbl  WAIT_FOR(%ebp), %esi
        testl   %esi, %esi
        jz      counted
        movl    list, %ebx
        movl    PATIENCE(%ebx), %ecx
        rdtsc
        movl    %eax, %edi
        sti                                     /* no HLT: one that lost its wake-up would hang for ever */
waiting: pause
        cmpl    $0, COUNTS(,%esi,4)
        jne     waited
        decl    %ecx
        jnz     waiting
waited: cli
        rdtsc
        subl    %edi, %eax
        movl    %eax, WAITED(%ebp)
        movl    COUNTS(,%esi,4), %eax
        movl    %eax, ARRIVALS(%ebp)

counted:
        addl    $COMMAND_BYTES, command
        movl    list, %ebx
        incl    PROGRESS(%ebx)
        jmp     next

finish: movl    $DONE, STATE(%ebx)
stop:   cli
        hlt
        jmp     stop

/* Every exception and interrupt; the return address tells which stub called, and so the vector. */
trap:   pushal
        movl    32(%esp), %eax
        subl    $stubs, %eax
        shrl    $3, %eax
        movl    list, %ebx
        cmpl    $32, %eax
        jae     interrupt
        cmpl    $0, armed
        je      broken
        movl    command, %ebp
        xorl    %edx, %edx
        movl    $WITH_ERROR, %ecx
        btl     %eax, %ecx
        jnc     1f
        movl    36(%esp), %edx
1:      movl    %edx, ERROR(%ebp)
        orl     $FAULTED, %eax
        movl    %eax, FAULT(%ebp)
        popal
        movl    $STACK_TOP, %esp                /* nothing lies on the stack while an access is under way */
        jmp     ended

interrupt:
        incl    COUNTS(,%eax,4)
        movl    EOI_ADDRESS(%ebx), %ecx
        cmpl    $1, EOI_KIND(%ebx)
        jb      2f
        ja      1f
        movl    $0, (%ecx)
        jmp     2f
1:      xorl    %eax, %eax
        xorl    %edx, %edx
        wrmsr
2:      popal
        addl    $4, %esp
        iret

broken: movl    %eax, BROKEN_VECTOR(%ebx)
        leal    BROKEN_STACK(%ebx), %edi
        leal    36(%esp), %esi
        movl    $3, %ecx
        rep movsl
        movl    $BROKEN, STATE(%ebx)
        jmp     stop

        .balign 8
stubs:
        .rept   256
        call    trap
        .balign 8
        .endr

kinds:  .long   nothing, load, store, readmsr, writemsr, identify

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              /* flat code */
        .quad   0x00cf93000000ffff              /* flat data */
gdtr:   .word   . - gdt - 1
        .long   gdt
idtr:   .word   256 * 8 - 1
        .long   IDT

        .balign 4
list:   .long   0
command: .long  0
tries:  .long   0
armed:  .long   0
