# Bugs that the simulation must catch within 200 seeds: each is one replaced text in one source file, compiled in
# place of the library's own object. A text that is no longer found fails the configuration.
function(turgo_mutant name file find replace)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  string(FIND "${text}" "${find}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "mutant ${name}: '${find}' is not in ${file}")
  endif()
  string(REPLACE "${find}" "${replace}" text "${text}")
  set(mutated ${CMAKE_CURRENT_BINARY_DIR}/mutants/${name}.cpp)
  file(WRITE ${mutated}.new "${text}")
  configure_file(${mutated}.new ${mutated} COPYONLY)
  add_executable(mutant_${name} ${mutated} sim_main.cc)
  target_link_libraries(mutant_${name} PRIVATE turgo_engine)
  target_compile_options(mutant_${name} PRIVATE -O1 -w)
  add_test(NAME engine.mutant.${name} COMMAND mutant_${name} --expect-violation)
  set_tests_properties(engine.mutant.${name} PROPERTIES LABELS unit)
endfunction()

turgo_mutant(leaked_block block_manager.cpp "    --block(id).holders;\n    table.pinned" "    table.pinned")
turgo_mutant(double_free block_manager.cpp "  if (--b.pins > 0) return;" "  --b.pins;")
turgo_mutant(shared_block_overwritten block_manager.cpp "  return b.registered || (b.holders > 1 && slot < b.filled);"
             "  return false;")
turgo_mutant(stale_block_trusted block_manager.cpp "block(table.ids[n]).unique_id == table.unique_ids[n]) ++n;"
             "true) ++n;")
turgo_mutant(image_left_out_of_key prefix_cache.cpp "if (rows) key.extra +=" "if (false) key.extra +=")
turgo_mutant(starved_request scheduler.cpp "  s->state = Sequence::State::kQueued;\n  insert_in_order(queued_, s);"
             "  s->state = Sequence::State::kQueued;\n  queued_.insert(queued_.begin(), s);")
turgo_mutant(forgotten_victim scheduler.cpp "  ++num_preemptions_;\n  add(s);" "  ++num_preemptions_;")
turgo_mutant(leaked_pins scheduler.cpp "  blocks_.unpin(s->table);\n  s->state" "  s->state")
turgo_mutant(rewind_keeps_cache scheduler.cpp "std::min(s.max_reuse, s.num_tokens() - 1)" "s.num_tokens() - 1")
turgo_mutant(lost_wake_up engine_core.cpp "it->second->paused = false;" "it->second->paused = true;")
turgo_mutant(swapped_rows engine_core.cpp "SampledToken& sampled = result.slices[i].token;"
             "SampledToken& sampled = result.slices[planned.size() - 1 - i].token;")
turgo_mutant(lost_cancel engine_core.cpp "if (s.cancelled) return finish(s, FinishReason::kCancelled, now);" "")
turgo_mutant(one_token_more engine_core.cpp "s.num_generated() >= s.max_new" "s.num_generated() > s.max_new")
turgo_mutant(penalty_forgets engine_core.cpp "    s.sampler.add_generated(j.token.token_id);\n" "")
turgo_mutant(failed_step_kept engine_core.cpp "step_in_flight_ = false;\n  std::vector<Sequence*> planned"
             "step_in_flight_ = false;\n  scheduler_.advance(0);\n  std::vector<Sequence*> planned")
turgo_mutant(window_left_too_early cache_blocks.cpp "std::max(n - windows_[g] + 1, 0)" "std::max(n - windows_[g] + 65, 0)")
turgo_mutant(window_never_left scheduler.cpp "    blocks_.leave_behind(s.table);\n" "")
turgo_mutant(rewound_window_trusted cache_blocks.cpp
             "if (table_of(table, g).first > first_block(g, num_tokens)) num_tokens = 0;" "")
turgo_mutant(hit_in_a_torn_window prefix_cache.cpp "if (found[b]->windows[w] < 0) {" "if (false) {")
turgo_mutant(pace_ignored step_pacer.cpp "return (stretch_ - 1) * decode_seconds" "return 100 * decode_seconds")
turgo_mutant(deadline_forgotten engine_core.cpp "if (s->deadline <= now)" "if (false)")
turgo_mutant(newcomer_waits fair_share.cpp "std::max(o.next, virtual_time_);"
             "std::max(o.next, virtual_time_) + (o.num_live == 1 ? 100000 : 0);")
turgo_mutant(mask_not_told engine_core.cpp "    mask->accept(j.token.token_id);\n" "")
turgo_mutant(mask_goes_on engine_core.cpp "    j.stop = mask->is_finished();\n" "")
