; The functions that XLA calls, and the sharing of chunks among threads.
;
; XLA passes a call frame, a C structure (jaxlib's include/xla/ffi/api/c_api.h, version 0.x,
; whose structures are only extended at their ends). Each kernel has an entry of its own, which
; jit.py adds: it calls @called_by_xla, which reads the arrays' addresses from the frame and calls
; the kernel's own @run_phases. So XLA can be given the entry before the kernel is compiled.
; @run_phases runs the kernel's phases one after the other; @parallel_for shares the chunks of a
; phase among XLA's own threads and the calling thread. @run_together is in the place of @run_phases
; for kernels that do not depend on each other: the chunks of all of them are shared at once.
;
; Every thread takes the next chunk until none is left. So nothing waits for a thread that has
; not started, and threads that come late find nothing to do. The last thread that releases a job
; frees it.
;
; To wake a sleeping core takes as long as a small job. So a thread of XLA's that has done its part
; waits for the next job for about a tenth of a millisecond, not longer, since XLA may have other
; work for it. It does so at one of @rnn4music_places, which holds 0 if it is free, 1 if a thread
; waits there, and else the address of the job that the thread is given.

%Extension = type { i64, i32, ptr }              ; size, type (1: XLA asks for metadata), next
%Request   = type { %Extension, ptr }            ; metadata
%Version   = type { i64, ptr, i32, i32 }         ; size, extension, major, minor
%Metadata  = type { i64, %Version, i32 }         ; size, version, traits
%Buffers   = type { i64, ptr, i64, ptr, ptr }    ; size, extension, count, types, addresses
%Buffer    = type { i64, ptr, i32, ptr }         ; size, extension, dtype, data
%Frame     = type { i64, ptr, ptr, ptr, i32, %Buffers, %Buffers }
                                                 ; size, extension, api, context, stage, …
%Api       = type { i64, ptr, %Version, ptr, ptr, ptr, ptr, [8 x ptr], ptr }
                                                 ; the seventh destroys errors, the last schedules
%Destroy   = type { i64, ptr, ptr }              ; size, extension, error
%Schedule  = type { i64, ptr, ptr, ptr, ptr }    ; size, extension, context, task, data
%Together  = type { i64, i64, i64, i64, ptr, ptr, ptr }
                       ; numbers of chunks, threads, arrays and results; then lists: the kernels,
                       ; for each array its number in the frame, for each result its bytes if large
%Member    = type { ptr, i64, i64 }              ; phase, chunks, arrays
%Shared    = type { ptr, ptr }                   ; list of kernels, their arrays one after the other
%Job       = type { i64, i64, i64, ptr, ptr, i64, i64 }
                       ; next chunk, chunks done, readers, phase, addresses, chunks, steps; then
                       ; an i32 for each chunk of each step: whether a thread has taken it

declare ptr @calloc(i64, i64)
declare void @free(ptr)
declare i32 @sched_yield()
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
declare i32 @madvise(ptr, i64, i32)
@rnn4music_places = external global [64 x [8 x i64]]  ; each in a line of the cache of its own
@kernels = global [32 x [2 x ptr]] zeroinitializer
                       ; @run_phases of each kernel, or @run_together and its data; stored by jit.py

define ptr @called_by_xla(ptr %frame, i64 %k) {
  %at_extension = getelementptr %Frame, ptr %frame, i64 0, i32 1
  %extension = load ptr, ptr %at_extension
  %plain = icmp eq ptr %extension, null
  br i1 %plain, label %work, label %extended
extended:
  %at_type = getelementptr %Extension, ptr %extension, i64 0, i32 1
  %type = load i32, ptr %at_type
  %is_question = icmp eq i32 %type, 1
  br i1 %is_question, label %answer, label %work
answer:                       ; written for the version that asks
  %at_metadata = getelementptr %Request, ptr %extension, i64 0, i32 1
  %metadata = load ptr, ptr %at_metadata
  %at_api = getelementptr %Frame, ptr %frame, i64 0, i32 2
  %api = load ptr, ptr %at_api
  %at_major = getelementptr %Api, ptr %api, i64 0, i32 2, i32 2
  %major = load i32, ptr %at_major
  %at_minor = getelementptr %Api, ptr %api, i64 0, i32 2, i32 3
  %minor = load i32, ptr %at_minor
  %to_major = getelementptr %Metadata, ptr %metadata, i64 0, i32 1, i32 2
  store i32 %major, ptr %to_major
  %to_minor = getelementptr %Metadata, ptr %metadata, i64 0, i32 1, i32 3
  store i32 %minor, ptr %to_minor
  %to_traits = getelementptr %Metadata, ptr %metadata, i64 0, i32 2
  store i32 0, ptr %to_traits
  ret ptr null
work:
  %arguments = getelementptr %Frame, ptr %frame, i64 0, i32 5
  %at_n_arguments = getelementptr %Buffers, ptr %arguments, i64 0, i32 2
  %n_arguments = load i64, ptr %at_n_arguments
  %results = getelementptr %Frame, ptr %frame, i64 0, i32 6
  %at_n_results = getelementptr %Buffers, ptr %results, i64 0, i32 2
  %n_results = load i64, ptr %at_n_results
  %n = add i64 %n_arguments, %n_results
  %addresses = alloca ptr, i64 %n
  %after = call ptr @gather(ptr %arguments, ptr %addresses)
  %end = call ptr @gather(ptr %results, ptr %after)
  %at_kernel = getelementptr [32 x [2 x ptr]], ptr @kernels, i64 0, i64 %k, i64 0
  %run_phases = load atomic ptr, ptr %at_kernel acquire, align 8
  %at_data = getelementptr [32 x [2 x ptr]], ptr @kernels, i64 0, i64 %k, i64 1
  %data = load ptr, ptr %at_data
  call void %run_phases(ptr %frame, ptr %addresses, ptr %after, ptr %data)
  ret ptr null
}

define void @prefer_large_pages(ptr %results, i64 %k, i64 %bytes) {
  %at = getelementptr ptr, ptr %results, i64 %k
  %data = load ptr, ptr %at
  %address = ptrtoint ptr %data to i64
  %page = and i64 %address, -4096
  %begin = inttoptr i64 %page to ptr
  %ignored = call i32 @madvise(ptr %begin, i64 %bytes, i32 14)
  ret void
}

define ptr @gather(ptr %buffers, ptr %addresses) {     ; returns where the addresses end
  %at_count = getelementptr %Buffers, ptr %buffers, i64 0, i32 2
  %count = load i64, ptr %at_count
  %at_list = getelementptr %Buffers, ptr %buffers, i64 0, i32 4
  %list = load ptr, ptr %at_list
  br label %head
head:
  %k = phi i64 [0, %0], [%next, %body]
  %to = getelementptr ptr, ptr %addresses, i64 %k
  %more = icmp slt i64 %k, %count
  br i1 %more, label %body, label %end
body:
  %at_buffer = getelementptr ptr, ptr %list, i64 %k
  %buffer = load ptr, ptr %at_buffer
  %at_data = getelementptr %Buffer, ptr %buffer, i64 0, i32 3
  %data = load ptr, ptr %at_data
  store ptr %data, ptr %to
  %next = add i64 %k, 1
  br label %head
end:
  ret ptr %to
}

define void @run_together(ptr %frame, ptr %addresses, ptr %results, ptr %data) {
  %all = load %Together, ptr %data
  %chunks = extractvalue %Together %all, 0
  %threads = extractvalue %Together %all, 1
  %n_arrays = extractvalue %Together %all, 2
  %n_results = extractvalue %Together %all, 3
  %members = extractvalue %Together %all, 4
  %numbers = extractvalue %Together %all, 5
  %sizes = extractvalue %Together %all, 6
  %arrays = alloca ptr, i64 %n_arrays
  %shared = alloca %Shared
  br label %copy
copy:                         ; the address of each array of each kernel
  %j = phi i64 [0, %0], [%j_next, %copy]
  %j_next = add i64 %j, 1
  %at_number = getelementptr i64, ptr %numbers, i64 %j
  %number = load i64, ptr %at_number
  %from = getelementptr ptr, ptr %addresses, i64 %number
  %address = load ptr, ptr %from
  %to = getelementptr ptr, ptr %arrays, i64 %j
  store ptr %address, ptr %to
  %more = icmp slt i64 %j_next, %n_arrays
  br i1 %more, label %copy, label %sizes_of_pages
sizes_of_pages:
  %k = phi i64 [0, %copy], [%k_next, %result_done]
  %at_size = getelementptr i64, ptr %sizes, i64 %k
  %bytes = load i64, ptr %at_size
  %is_large = icmp sgt i64 %bytes, 0
  br i1 %is_large, label %large, label %result_done
large:
  call void @prefer_large_pages(ptr %results, i64 %k, i64 %bytes)
  br label %result_done
result_done:
  %k_next = add i64 %k, 1
  %more_results = icmp slt i64 %k_next, %n_results
  br i1 %more_results, label %sizes_of_pages, label %run
run:
  %shared_1 = insertvalue %Shared zeroinitializer, ptr %members, 0
  %shared_2 = insertvalue %Shared %shared_1, ptr %arrays, 1
  store %Shared %shared_2, ptr %shared
  call void @parallel_for(ptr %frame, ptr @run_member, ptr %shared, i64 %chunks, i64 0, i64 %threads)
  ret void
}

define void @run_member(ptr %shared, i64 %chunk) {       ; the chunk of the kernel that has it
  %both = load %Shared, ptr %shared
  %first = extractvalue %Shared %both, 0
  %first_arrays = extractvalue %Shared %both, 1
  br label %look
look:
  %k = phi i64 [%chunk, %0], [%k_next, %other]
  %at = phi ptr [%first, %0], [%at_next, %other]
  %arrays = phi ptr [%first_arrays, %0], [%arrays_next, %other]
  %member = load %Member, ptr %at
  %chunks = extractvalue %Member %member, 1
  %is_it = icmp slt i64 %k, %chunks
  br i1 %is_it, label %run, label %other
other:
  %k_next = sub i64 %k, %chunks
  %at_next = getelementptr %Member, ptr %at, i64 1
  %n_arrays = extractvalue %Member %member, 2
  %arrays_next = getelementptr ptr, ptr %arrays, i64 %n_arrays
  br label %look
run:
  %phase = extractvalue %Member %member, 0
  call void %phase(ptr %arrays, i64 %k)
  ret void
}

define void @parallel_for(ptr %frame, ptr %phase, ptr %addresses, i64 %chunks, i64 %steps,
                          i64 %threads) {
  %request = alloca %Schedule
  %error_call = alloca %Destroy
  %at_api = getelementptr %Frame, ptr %frame, i64 0, i32 2
  %api = load ptr, ptr %at_api
  %at_schedule = getelementptr %Api, ptr %api, i64 0, i32 8
  %schedule = load ptr, ptr %at_schedule
  %at_destroy = getelementptr %Api, ptr %api, i64 0, i32 6
  %destroy = load ptr, ptr %at_destroy
  %at_context = getelementptr %Frame, ptr %frame, i64 0, i32 3
  %context = load ptr, ptr %at_context
  %size = ptrtoint ptr getelementptr (%Job, ptr null, i64 1) to i64
  %times = call i64 @llvm.smax.i64(i64 %steps, i64 1)
  %all = mul i64 %times, %chunks
  %flags_size = mul i64 %all, 4
  %all_size = add i64 %size, %flags_size
  %job = call ptr @calloc(i64 1, i64 %all_size)
  %no_memory = icmp eq ptr %job, null
  br i1 %no_memory, label %alone, label %shared
alone:                        ; all chunks on this thread, in order
  %k = phi i64 [0, %0], [%k_next, %alone]
  %k_next = add i64 %k, 1
  call void %phase(ptr %addresses, i64 %k)
  %remain = icmp slt i64 %k_next, %all
  br i1 %remain, label %alone, label %finished
finished:
  ret void
shared:
  %readers = getelementptr %Job, ptr %job, i64 0, i32 2
  %done = getelementptr %Job, ptr %job, i64 0, i32 1
  %readers_now = call i64 @llvm.smin.i64(i64 %threads, i64 %chunks)
  %job_1 = insertvalue %Job zeroinitializer, i64 %readers_now, 2
  %job_2 = insertvalue %Job %job_1, ptr %phase, 3
  %job_3 = insertvalue %Job %job_2, ptr %addresses, 4
  %job_4 = insertvalue %Job %job_3, i64 %chunks, 5
  %job_5 = insertvalue %Job %job_4, i64 %steps, 6
  store %Job %job_5, ptr %job
  %request_1 = insertvalue %Schedule zeroinitializer, i64 40, 0
  %request_2 = insertvalue %Schedule %request_1, ptr %context, 2
  %request_3 = insertvalue %Schedule %request_2, ptr @task, 3
  %request_4 = insertvalue %Schedule %request_3, ptr %job, 4
  br label %ask
ask:                          ; as many helpers as can have a chunk, less one
  %asked = phi i64 [1, %shared], [%next, %asked_one]
  %more = icmp slt i64 %asked, %readers_now
  br i1 %more, label %ask_one, label %work
ask_one:
  %has_waited = call i1 @hand_over(ptr %job)
  br i1 %has_waited, label %asked_one, label %ask_xla
ask_xla:
  store %Schedule %request_4, ptr %request
  %error = call ptr %schedule(ptr %request)
  %granted = icmp eq ptr %error, null
  br i1 %granted, label %asked_one, label %refused
refused:
  %error_1 = insertvalue %Destroy zeroinitializer, i64 24, 0
  %error_2 = insertvalue %Destroy %error_1, ptr %error, 2
  store %Destroy %error_2, ptr %error_call
  call void %destroy(ptr %error_call)
  %less = atomicrmw sub ptr %readers, i64 1 acq_rel
  br label %asked_one
asked_one:
  %next = add i64 %asked, 1
  br label %ask
work:
  call void @work(ptr %job)
  br label %wait
wait:
  %done_now = load atomic i64, ptr %done acquire, align 8
  %complete = icmp eq i64 %done_now, %all
  br i1 %complete, label %end, label %yield
yield:
  %ignored = call i32 @sched_yield()
  br label %wait
end:
  call void @release(ptr %job)
  ret void
}

define i1 @hand_over(ptr %job) {           ; to a thread that waits; false if none does
  %value = ptrtoint ptr %job to i64
  br label %look
look:
  %k = phi i64 [0, %0], [%next, %other]
  %place = getelementptr [64 x [8 x i64]], ptr @rnn4music_places, i64 0, i64 %k
  %now = load atomic i64, ptr %place monotonic, align 8
  %waits = icmp eq i64 %now, 1
  br i1 %waits, label %try, label %other
try:
  %exchange = cmpxchg ptr %place, i64 1, i64 %value acq_rel monotonic
  %is_taken = extractvalue { i64, i1 } %exchange, 1
  br i1 %is_taken, label %yes, label %other
other:
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, 64
  br i1 %more, label %look, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define void @task(ptr %first) {
  br label %do
do:
  %job = phi ptr [%first, %0], [%next_job, %given]
  call void @work(ptr %job)
  call void @release(ptr %job)
  br label %look
look:                         ; for a free place
  %k = phi i64 [0, %do], [%next, %other]
  %place = getelementptr [64 x [8 x i64]], ptr @rnn4music_places, i64 0, i64 %k
  %exchange = cmpxchg ptr %place, i64 0, i64 1 acq_rel monotonic
  %is_ours = extractvalue { i64, i1 } %exchange, 1
  br i1 %is_ours, label %wait, label %other
other:
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, 64
  br i1 %more, label %look, label %end
wait:
  %waited = phi i64 [0, %look], [%waited_next, %spin]
  %waited_next = add i64 %waited, 1
  %value = load atomic i64, ptr %place acquire, align 8
  %has_job = icmp ne i64 %value, 1
  br i1 %has_job, label %given, label %idle
given:
  %now = load atomic i64, ptr %place acquire, align 8
  %next_job = inttoptr i64 %now to ptr
  store atomic i64 0, ptr %place release, align 8
  br label %do
idle:
  %is_late = icmp sgt i64 %waited, 1000
  br i1 %is_late, label %leave, label %spin
spin:
  call void @pause()
  br label %wait
leave:
  %last = cmpxchg ptr %place, i64 1, i64 0 acq_rel monotonic
  %is_free = extractvalue { i64, i1 } %last, 1
  br i1 %is_free, label %end, label %given
end:
  ret void
}

define void @work(ptr %job) {
  %at_steps = getelementptr %Job, ptr %job, i64 0, i32 6
  %steps = load i64, ptr %at_steps
  %in_steps = icmp sgt i64 %steps, 0
  br i1 %in_steps, label %ordered, label %free
ordered:
  call void @take_steps(ptr %job)
  ret void
free:
  call void @take_chunks(ptr %job)
  ret void
}

define void @take_steps(ptr %job) {
  %next = getelementptr %Job, ptr %job, i64 0, i32 0
  %done = getelementptr %Job, ptr %job, i64 0, i32 1
  %at_chunks = getelementptr %Job, ptr %job, i64 0, i32 5
  %chunks = load i64, ptr %at_chunks
  %at_steps = getelementptr %Job, ptr %job, i64 0, i32 6
  %steps = load i64, ptr %at_steps
  %own = atomicrmw add ptr %next, i64 1 acq_rel       ; the same chunk in each step
  br label %step
step:
  %t = phi i64 [0, %0], [%t_next, %wait]
  %t_next = add i64 %t, 1
  %goal = mul i64 %t_next, %chunks
  %is_left = icmp slt i64 %t, %steps
  br i1 %is_left, label %own_chunk, label %end
own_chunk:
  call void @take_one(ptr %job, i64 %t, i64 %own)
  br label %wait
wait:
  %waited = phi i64 [0, %own_chunk], [%waited_next, %pause], [%waited_next, %yield]
  %waited_next = add i64 %waited, 1
  %done_now = load atomic i64, ptr %done acquire, align 8
  %complete = icmp sge i64 %done_now, %goal
  br i1 %complete, label %step, label %spin
spin:
  %late = icmp sgt i64 %waited, 50
  br i1 %late, label %steal, label %pause
pause:
  call void @pause()
  br label %wait
steal:                        ; what no thread has begun
  %k = phi i64 [0, %spin], [%k_next, %steal]
  %k_next = add i64 %k, 1
  call void @take_one(ptr %job, i64 %t, i64 %k)
  %more = icmp slt i64 %k_next, %chunks
  br i1 %more, label %steal, label %yield
yield:
  %ignored = call i32 @sched_yield()
  br label %wait
end:
  ret void
}

define void @take_one(ptr %job, i64 %t, i64 %k) {
  %at_chunks = getelementptr %Job, ptr %job, i64 0, i32 5
  %chunks = load i64, ptr %at_chunks
  %exists = icmp slt i64 %k, %chunks
  br i1 %exists, label %claim, label %end
claim:
  %begin = mul i64 %t, %chunks
  %chunk = add i64 %begin, %k
  %flags = getelementptr %Job, ptr %job, i64 1
  %flag = getelementptr i32, ptr %flags, i64 %chunk
  %taken = atomicrmw xchg ptr %flag, i32 1 acq_rel
  %is_free = icmp eq i32 %taken, 0
  br i1 %is_free, label %work, label %end
work:
  call void @do_chunk(ptr %job, i64 %chunk)
  br label %end
end:
  ret void
}

define void @take_chunks(ptr %job) {
  %next = getelementptr %Job, ptr %job, i64 0, i32 0
  %at_chunks = getelementptr %Job, ptr %job, i64 0, i32 5
  %chunks = load i64, ptr %at_chunks
  br label %take
take:
  %chunk = atomicrmw add ptr %next, i64 1 acq_rel
  %is_left = icmp slt i64 %chunk, %chunks
  br i1 %is_left, label %work, label %end
work:
  call void @do_chunk(ptr %job, i64 %chunk)
  br label %take
end:
  ret void
}

define void @do_chunk(ptr %job, i64 %chunk) {
  %done = getelementptr %Job, ptr %job, i64 0, i32 1
  %at_phase = getelementptr %Job, ptr %job, i64 0, i32 3
  %phase = load ptr, ptr %at_phase
  %at_addresses = getelementptr %Job, ptr %job, i64 0, i32 4
  %addresses = load ptr, ptr %at_addresses
  call void %phase(ptr %addresses, i64 %chunk)
  %before = atomicrmw add ptr %done, i64 1 acq_rel
  ret void
}

define void @pause() noinline {
  br label %head
head:
  %k = phi i64 [0, %0], [%next, %head]
  %next = add i64 %k, 1
  call void asm sideeffect "", ""()
  %more = icmp slt i64 %next, 100
  br i1 %more, label %head, label %end
end:
  ret void
}

define void @release(ptr %job) {
  %readers = getelementptr %Job, ptr %job, i64 0, i32 2
  %before = atomicrmw sub ptr %readers, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %clear, label %end
clear:
  call void @free(ptr %job)
  br label %end
end:
  ret void
}
