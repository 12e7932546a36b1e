/*
 * The probe guest: carries out a list of accesses that dom0 gave it as a module, and writes down what each
 * cost, what it returned and whether it faulted. All thinking is done in dom0 (probe/script.py and
 * probe/pair.py say what is accessed, probe/mailbox.py how the list is laid out).
 *
 * A PVH kernel, entered in flat 32-bit mode with paging off and the start info's address in %ebx. It runs
 * in 64-bit mode with 4 GiB of memory mapped one to one. Each command names the vCPU that carries it out;
 * the others wait for their turn with interrupts on. A vCPU other than the first enters at `ap`, in its page
 * below 1 MiB, once a command has sent it INIT and SIPI.
 *
 * Built by:  as --64 probe.S -o probe.o && ld -n -z noexecstack --no-warn-rwx-segments -Ttext 0x100000 \
 *            --section-start=.ap=0x8000 --section-start=.note.Xen=0x8040 -e start probe.o -o probe.elf && \
 *            strip probe.elf
 */
        .equ    MOST_CPUS, 4

        /* the head of the list */
        .equ    STATE, 0
        .equ    COUNT, 4
        .equ    PROGRESS, 8
        .equ    PATIENCE, 12
        .equ    BROKEN_VECTOR, 16
        .equ    BROKEN_CPU, 20
        .equ    BROKEN_STACK, 24                /* 3 of 8 bytes */
        .equ    STARTS, 48                      /* 4 of 4 bytes: how often each vCPU started */
        .equ    HEAD_BYTES, 64

        /* one command */
        .equ    KIND, 0
        .equ    REPEAT, 1
        .equ    WAIT_FOR, 2
        .equ    CPU, 3
        .equ    ADDRESS, 4
        .equ    VALUE, 8
        .equ    EXPECTED, 16
        /* and what came of it */
        .equ    RAX, 24
        .equ    RBX, 32
        .equ    RCX, 40
        .equ    RDX, 48
        .equ    FAULT, 56
        .equ    ERROR, 60
        .equ    WAITED, 64
        .equ    ARRIVALS, 72                    /* 4 of 4 bytes: by vCPU */
        .equ    TICKS, 88                       /* 8 of 4 bytes */
        .equ    COMMAND_BYTES, 120

        /* what each vCPU has for itself, in one page */
        .equ    COUNTS, 0                       /* 256 counters of 4 bytes: interrupts by vector */
        .equ    NUMBER, 1024
        .equ    ROUNDS, 1028                    /* how often it looked whether it is its turn */
        .equ    EOI_KIND, 1032
        .equ    EOI_ADDRESS, 1036
        .equ    PAGE, 4096                      /* the stack is at the end */

        .equ    SETTLED, 1000                   /* rounds */
        .equ    RUNNING, 1
        .equ    DONE, 2
        .equ    BROKEN, 3
        .equ    WITH_ERROR, 0x60227d00          /* exceptions 8 10-14 17 21 29 30 push an error code */
        .equ    FAULTED, 0x100
        .equ    CODE, 8
        .equ    DATA, 16
        .equ    CODE32, 24
        .equ    IA32_EFER, 0xc0000080

        .section .note.Xen, "a", @note
        .long   4, 4, 18                        /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   start

/* In 16-bit mode: where a vCPU starts that got a SIPI with vector 8. */
        .section .ap, "ax"
        .code16
ap:     cli
        movw    %cs, %ax
        movw    %ax, %ds
        lgdtl   ap_gdtr - ap
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $CODE32, $ap32
        .balign 8
ap_gdtr: .word  gdt_end - gdt - 1
        .long   gdt

        .text
        .code32
        .globl  start
start:  cli
        cld
        movl    16(%ebx), %eax                  /* the list of modules; the first one is the list of commands */
        movl    (%eax), %eax
        movl    %eax, list
        lgdt    gdtr
        ljmp    $CODE32, $1f
1:      movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $boot_stack_top, %esp

        movl    $0x3, %ebx                      /* present, writable */
        leal    pointers(%ebx), %eax
        movl    %eax, tables
        leal    directories(%ebx), %eax
        movl    $pointers, %edi
        movl    $4, %ecx
1:      movl    %eax, (%edi)
        addl    $PAGE, %eax
        addl    $8, %edi
        loop    1b
        movl    $0xe3, %eax                     /* and accessed, dirty, 2 MiB */
        movl    $directories, %edi
        movl    $4 * 512, %ecx
1:      movl    %eax, (%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        loop    1b
        orl     $0x18, directories + 0xfec00000 / 0x200000 * 8  /* the APICs: uncached */
        orl     $0x18, directories + 0xfee00000 / 0x200000 * 8

        call    long_mode
        ljmp    $CODE, $first
ap32:   movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $boot_stack_top, %esp
        call    long_mode
        ljmp    $CODE, $each

long_mode:
        movl    %cr4, %eax
        orl     $0x220, %eax                    /* PAE, OSFXSR */
        movl    %eax, %cr4
        movl    $tables, %eax
        movl    %eax, %cr3
        movl    $IA32_EFER, %ecx
        rdmsr
        orl     $0x100, %eax                    /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000020, %eax               /* PG, NE */
        movl    %eax, %cr0
        ret

        .code64
first:  movl    $idt, %edi
        movl    $stubs, %esi
        movl    $256, %ecx
1:      movl    %esi, %eax
        movw    %ax, (%rdi)
        movw    $CODE, 2(%rdi)
        movw    $0x8e00, 4(%rdi)                /* present, interrupt gate */
        shrl    $16, %eax
        movw    %ax, 6(%rdi)
        addl    $16, %edi
        addl    $8, %esi
        loop    1b

/*
 * Each vCPU. From here on %r15 is its page, %r14 the list, %r13 the command, %r12 the number of tries that
 * are done, %r10 whether a fault is expected.
 */
each:   lidt    idtr
        movl    list, %r14d
        movl    $1, %eax
        cpuid
        shrl    $25, %ebx                       /* the number of the vCPU is half of its APIC's ID */
        cmpl    $MOST_CPUS, %ebx
        jae     stop
        incl    STARTS(%r14,%rbx,4)
        movl    %ebx, %r15d
        shll    $12, %r15d
        addl    $cpus, %r15d
        leaq    PAGE(%r15), %rsp
        movl    %ebx, NUMBER(%r15)
        movl    $RUNNING, STATE(%r14)
        xorl    %r10d, %r10d

next:   incl    ROUNDS(%r15)
        movl    PROGRESS(%r14), %eax
        cmpl    COUNT(%r14), %eax
        jae     finish
        imull   $COMMAND_BYTES, %eax
        leaq    HEAD_BYTES(%r14,%rax), %r13
        movzbl  CPU(%r13), %eax
        cmpl    NUMBER(%r15), %eax
        je      turn
        sti
        pause
        pause
        cli
        jmp     next

turn:   xorl    %r12d, %r12d
        movzbl  WAIT_FOR(%r13), %eax
        movl    $cpus, %ecx
1:      movl    $0, COUNTS(%rcx,%rax,4)
        addl    $PAGE, %ecx
        cmpl    $cpus + MOST_CPUS * PAGE, %ecx
        jb      1b

again:  movzbl  KIND(%r13), %eax
        movl    ADDRESS(%r13), %ecx
        movq    VALUE(%r13), %rdi
        movq    %rdi, %rsi
        shrq    $32, %rsi
        movl    $1, %r10d
        jmp     *kinds(,%rax,8)

        /* LFENCE, so that the clock is read after what stands before it. */
        .macro  timed   name
\name:  lfence
        rdtsc
        movl    %eax, %ebp
        movq    %rdi, %rax
        movq    %rsi, %rdx
        .endm
        .macro  one     name, access:vararg
        timed   \name
        \access
        jmp     ended
        .endm

        one     nothing
        one     load8, movzbl (%rcx), %eax
        one     load16, movzwl (%rcx), %eax
        one     load32, movl (%rcx), %eax
        one     load64, movq (%rcx), %rax
        one     store8, movb %al, (%rcx)
        one     store16, movw %ax, (%rcx)
        one     store32, movl %eax, (%rcx)
        one     store64, movq %rax, (%rcx)
        one     writemsr, wrmsr
        one     identify, cpuid
        one     readcr8, movq %cr8, %rax
        one     writecr8, movq %rax, %cr8
        one     fetch, call *%rcx
        timed   readmsr
        rdmsr
        shlq    $32, %rdx
        orq     %rdx, %rax
        xorl    %edx, %edx
        jmp     ended
        timed   load128
        movups  (%rcx), %xmm0
        movq    %xmm0, %rax
        psrldq  $8, %xmm0
        movq    %xmm0, %rdx
        jmp     ended
        timed   store128
        movq    %rax, %xmm0
        movups  %xmm0, (%rcx)
        jmp     ended
        timed   deadline                        /* TSC deadline: `value` ticks from now */
        rdtsc
        addl    %edi, %eax
        adcl    $0, %edx
        wrmsr
        jmp     ended
        timed   eoi_by
        movl    %eax, EOI_KIND(%r15)
        movl    %ecx, EOI_ADDRESS(%r15)

ended:  movq    %rax, %r8
        movq    %rdx, %r9
        lfence
        rdtsc
        subl    %ebp, %eax
        xorl    %r10d, %r10d
        movq    %r8, RAX(%r13)
        movq    %rbx, RBX(%r13)
        movq    %rcx, RCX(%r13)
        movq    %r9, RDX(%r13)
        movl    %eax, TICKS(%r13,%r12,4)
        incl    %r12d
        cmpb    %r12b, REPEAT(%r13)
        jne     again

        movzbl  WAIT_FOR(%r13), %esi
        testl   %esi, %esi
        jz      counted
        movl    PATIENCE(%r14), %ecx
        rdtsc
        movl    %eax, %edi
        sti                                     /* no HLT: one that lost its wake-up would hang for ever */
waiting: pause
        call    arrived
        cmpl    EXPECTED(%r13), %eax
        jae     waited
        decl    %ecx
        jnz     waiting
waited: rdtsc
        subl    %edi, %eax
        movl    %eax, WAITED(%r13)

        /* Every other vCPU that runs looks so often that whatever was sent to it has arrived. */
        movl    $cpus, %ebx
        xorl    %edx, %edx
settle: cmpl    $0, STARTS(%r14,%rdx,4)
        je      2f
        cmpl    NUMBER(%r15), %edx
        je      2f
        movl    ROUNDS(%rbx), %eax
1:      pause
        movl    ROUNDS(%rbx), %r8d
        subl    %eax, %r8d
        cmpl    $SETTLED, %r8d
        jae     2f
        decl    %ecx
        jg      1b
2:      addl    $PAGE, %ebx
        incl    %edx
        cmpl    $MOST_CPUS, %edx
        jb      settle

        cli
        movl    $cpus, %ebx
        xorl    %edx, %edx
1:      movl    COUNTS(%rbx,%rsi,4), %eax
        movl    %eax, ARRIVALS(%r13,%rdx,4)
        addl    $PAGE, %ebx
        incl    %edx
        cmpl    $MOST_CPUS, %edx
        jb      1b

counted: incl   PROGRESS(%r14)
        jmp     next

/* Return in %eax how often vector %esi arrived at all vCPUs. */
arrived: xorl   %eax, %eax
        movl    $cpus, %ebx
1:      addl    COUNTS(%rbx,%rsi,4), %eax
        addl    $PAGE, %ebx
        cmpl    $cpus + MOST_CPUS * PAGE, %ebx
        jb      1b
        ret

finish: movl    $DONE, STATE(%r14)
stop:   cli
        hlt
        jmp     stop

/* Every exception and interrupt; the return address tells which stub called, and so the vector. */
trap:   pushq   %rax
        pushq   %rcx
        pushq   %rdx
        movq    24(%rsp), %rax
        subq    $stubs, %rax
        shrl    $3, %eax
        cmpl    $32, %eax
        jae     interrupt
        testl   %r10d, %r10d
        jz      broken
        xorl    %edx, %edx
        movl    $WITH_ERROR, %ecx
        btl     %eax, %ecx
        jnc     1f
        movl    32(%rsp), %edx
1:      movl    %edx, ERROR(%r13)
        orl     $FAULTED, %eax
        movl    %eax, FAULT(%r13)
        popq    %rdx
        popq    %rcx
        popq    %rax
        leaq    PAGE(%r15), %rsp                /* nothing lies on the stack while an access is under way */
        jmp     ended

interrupt:
        incl    COUNTS(%r15,%rax,4)
        movl    EOI_ADDRESS(%r15), %ecx
        cmpl    $1, EOI_KIND(%r15)
        jb      2f
        ja      1f
        movl    $0, (%rcx)
        jmp     2f
1:      xorl    %eax, %eax
        xorl    %edx, %edx
        wrmsr
2:      popq    %rdx
        popq    %rcx
        popq    %rax
        addq    $8, %rsp
        iretq

broken: movl    %eax, BROKEN_VECTOR(%r14)
        movl    NUMBER(%r15), %eax
        movl    %eax, BROKEN_CPU(%r14)
        leaq    BROKEN_STACK(%r14), %rdi
        leaq    32(%rsp), %rsi
        movl    $3, %ecx
        rep movsq
        movl    $BROKEN, STATE(%r14)
        jmp     stop

        .balign 8
stubs:
        .rept   256
        call    trap
        .balign 8
        .endr

kinds:  .quad   nothing, load32, store32, readmsr, writemsr, identify
        .quad   load8, load16, load64, load128, store8, store16, store64, store128
        .quad   readcr8, writecr8, fetch, deadline, eoi_by

gdt:    .quad   0
        .quad   0x00af9b000000ffff              /* 64-bit code */
        .quad   0x00cf93000000ffff              /* flat data */
        .quad   0x00cf9b000000ffff              /* flat 32-bit code */
gdt_end:
gdtr:   .word   gdt_end - gdt - 1
        .long   gdt
idtr:   .word   256 * 16 - 1
        .quad   idt

        .bss
        .balign 4096
tables: .skip   PAGE
pointers: .skip PAGE
directories: .skip 4 * PAGE
idt:    .skip   PAGE
cpus:   .skip   MOST_CPUS * PAGE
boot_stack: .skip 64
boot_stack_top:
list:   .skip   4
