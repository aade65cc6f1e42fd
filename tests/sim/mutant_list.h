/* The classic bugs of a change data pipeline, as src/mutant.h can switch them on. */
#ifndef WF_MUTANT_LIST_H
#define WF_MUTANT_LIST_H

/* clang-format off */
#define WF_MUTANTS(X) \
    X(ack_early, "the slot is acknowledged when the commit begins") \
    X(ack_txn_end, "a part of a transaction is committed, its end is acknowledged") \
    X(ack_before_save, "acknowledged when the save begins") \
    X(save_ignored, "acknowledged although the save failed") \
    X(barrier_in_flight, "a keepalive's position is safe although events are in flight") \
    X(max_not_prefix, "the safe position is the greatest confirmed one") \
    X(open_is_safe, "what a transaction has so far is confirmed, so it is") \
    X(failure_confirmed, "a delivery that failed counts as confirmed") \
    X(failure_passed, "what follows a failure is confirmed, and it goes on") \
    X(no_rewind, "the sink is opened again, the position is not taken back") \
    X(rewind_saved, "a reopened sink goes back to the saved position, a later save goes on") \
    X(keep_sink, "the slot is lost, the transaction goes on") \
    X(no_recycle, "the producer is kept after more than one EndTxn") \
    X(commit_assumed, "a commit of unknown outcome counts as done") \
    X(publish_in_commit, "events are published while a commit is under way") \
    X(held_overtaken, "what was taken during a commit is overtaken by what follows") \
    X(held_behind, "a commit covers what was taken and is not published yet") \
    X(read_first, "the checkpoint is read before the transactional id is taken") \
    X(no_claim, "the checkpoint is not claimed under the slot's lock") \
    X(slot_is_truth, "the slot says where to start, not the sink's checkpoint") \
    X(copy_is_truth, "the copy in the file says where to start") \
    X(gap_ignored, "a slot ahead of the checkpoint is accepted") \
    X(skip_one_more, "a transaction that commits at the start point is skipped") \
    X(skip_nothing, "what a slot that fell back sends again is published again") \
    X(lone_again, "a message outside transactions ends where it begins") \
    X(lone_lost, "a message at the start point is taken for delivered") \
    X(resume_published, "the published part of a split transaction is published again") \
    X(split_one_more, "one change too many of a split transaction is muted") \
    X(split_forgotten, "a commit of a position forgets the split") \
    X(split_in_change, "a split falls between two events of one change") \
    X(no_sync, "a save is not synced") \
    X(no_name_sync, "the directory is not synced") \
    X(one_slot, "every save writes over the one before") \
    X(same_generation, "the generation does not grow") \
    X(writes_over, "another daemon's checkpoint is written over") \
    X(unsettled, "the older slot is written over before the newer one is durable") \
    X(no_crc, "half a record counts as one")
/* clang-format on */

#define WF_MUTANT_NAME(name, what) WF_MUTANT_##name,
enum wf_mutant { WF_MUTANT_none, WF_MUTANTS(WF_MUTANT_NAME) WF_MUTANT_count };

extern enum wf_mutant wf_mutant;

#endif
