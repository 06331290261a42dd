# Two sections of assembly: lines without functions.
	.text
	.globl main
	.type main,@function
main:
	xor %eax,%eax
	inc %eax
	nop
	call helper
	dec %eax
	ret
	.size main,.-main
	.section .text.other,"ax"
helper:
	inc %eax
	nop
	ret
