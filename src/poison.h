/* Calls that no review lets pass; in front of every file of the program (CMakeLists.txt). */
#ifndef WF_POISON_H
#define WF_POISON_H

#include <stdio.h> /* they are declared here, which is no use of them */
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol atoll

#endif
